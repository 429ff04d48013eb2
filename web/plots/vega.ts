/** What the page uses of Vega, in a chunk of its own: the page is there before it. */
export { parse, View } from 'vega';
export { expressionInterpreter } from 'vega-interpreter';
export { compile } from 'vega-lite';

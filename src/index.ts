export * from './errors.js';
export { Engine } from './gpu/engine.js';

const decimals = (digits: number) =>
  new Intl.NumberFormat('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
const [none, one, two, three] = [decimals(0), decimals(1), decimals(2), decimals(3)];
/** With a minus sign that is as wide as the digits. */
const minus = (text: string) => text.replace('-', '−');

export const number = (value: number): string => minus(two.format(value));
export const percent = (fraction: number): string => `${one.format(100 * fraction)} %`;
export const count = (value: number): string => none.format(value);
/** A p-value as it is usually written. */
export const probability = (p: number): string => (p < 0.001 ? '< 0.001' : three.format(p));
export const plural = (value: number, one: string, many = `${one}s`): string =>
  `${count(value)} ${value === 1 ? one : many}`;
export const duration = (seconds: number): string =>
  seconds < 90 ? `${Math.max(1, Math.round(seconds))} s` : `${Math.round(seconds / 60)} min`;

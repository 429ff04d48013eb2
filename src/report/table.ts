/** A cell: what was measured, what was published for the same, and whether it is the best of its row or column. */
export interface Cell {
  readonly text: string;
  readonly published?: string | undefined;
  readonly best?: boolean;
}

export interface Table {
  /** One line, with the convention of the figures. */
  readonly caption: string;
  readonly head: readonly string[];
  /** The first cell of a row is its heading. */
  readonly rows: readonly (readonly Cell[])[];
}

/** A fraction as percent, to two decimals. */
export const percent = (fraction: number): string => (100 * fraction).toFixed(2);

/** As Markdown: the best in bold, published figures in brackets. */
export function markdown({ caption, head, rows }: Table): string {
  const text = ({ text, published, best }: Cell) => {
    const measured = best ? `**${text}**` : text;
    return (published ? `${measured} (${published})` : measured).replaceAll('|', '\\|');
  };
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map((row) => line(row.map(text))), '', caption].join('\n');
}

/** Rows of named values as CSV (RFC 4180), the names from the first row. */
export function csv(rows: readonly Readonly<Record<string, string | number | undefined>>[]): string {
  const names = Object.keys(rows[0] ?? {});
  const quoted = (value: string | number | undefined) => {
    const text = String(value ?? '');
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return `${[names, ...rows.map((row) => names.map((name) => row[name]))].map((row) => row.map(quoted).join(',')).join('\n')}\n`;
}

/** The element of this id, of this kind. */
export function find<T extends HTMLElement>(id: string, kind: new () => T): T {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`the page has no ${kind.name} #${id}`);
  return element;
}

/** A copy of a template's only element. */
export function fromTemplate(id: string): HTMLElement {
  return find(id, HTMLTemplateElement).content.firstElementChild!.cloneNode(true) as HTMLElement;
}

/** The element in `parent` of this class. */
export const part = (parent: HTMLElement, name: string): HTMLElement => parent.querySelector<HTMLElement>(`.${name}`)!;

/** Tell those who hear the page what those who see it see. */
export function say(text: string): void {
  find('status', HTMLParagraphElement).textContent = text;
}

/** Hand bytes to the browser's downloads. */
export function download(bytes: Uint8Array, name: string): void {
  const url = URL.createObjectURL(new Blob([bytes as Uint8Array<ArrayBuffer>]));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

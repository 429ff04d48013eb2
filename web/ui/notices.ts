import { find, fromTemplate, part } from './dom.js';

export interface Notice {
  readonly title: string;
  readonly text: string;
  /** A button beside closing it. */
  readonly action?: { readonly label: string; readonly run: () => void };
  /** It stays: the page cannot do its work until this is solved. */
  readonly lasting?: boolean;
}

const shown = new Map<string, HTMLElement>();

/** Show a problem where it is seen and heard. One of the same kind takes the place of the one before. */
export function notify(kind: string, { title, text, action, lasting }: Notice): void {
  dismiss(kind);
  const element = fromTemplate('notice-template');
  element.dataset.kind = kind;
  part(element, 'notice-title').textContent = title;
  part(element, 'notice-text').textContent = text;
  const button = element.querySelector('button')!;
  button.textContent = action?.label ?? 'Close';
  button.hidden = !action && lasting === true;
  button.addEventListener('click', () => {
    dismiss(kind);
    action?.run();
  });
  shown.set(kind, element);
  // Into the page first, then with its role: only so do screen readers announce it.
  find('notices', HTMLDivElement).append(element);
  element.setAttribute('role', 'alert');
}

export function dismiss(kind: string): void {
  shown.get(kind)?.remove();
  shown.delete(kind);
}

import type { Session, Shown } from '../session.js';
import { find, fromTemplate, part } from './dom.js';
import { number, plural, probability } from './format.js';

const FAMILY_NAMES: Readonly<Record<string, string>> = { novel_shapes: 'novel shapes' };
export const familyName = (family: string): string => FAMILY_NAMES[family] ?? family;

/** The list of decisions, and how many were accepted. Cards stay in place; only their words change. */
export class Results {
  private readonly list = find('results', HTMLUListElement);
  private readonly tally = find('tally', HTMLParagraphElement);
  private readonly cards = new Map<Shown, HTMLElement>();

  show(session: Session): void {
    const { pictures } = session;
    for (const [picture, card] of this.cards) {
      if (pictures.includes(picture)) continue;
      card.remove();
      this.cards.delete(picture);
    }
    pictures.forEach((picture, i) => {
      const card = this.cards.get(picture) ?? this.add(picture);
      if (this.list.children[i] !== card) this.list.insertBefore(card, this.list.children[i] ?? null);
      describe(card, picture, session);
    });
    find('clear', HTMLButtonElement).hidden = pictures.length === 0;
    find('empty', HTMLParagraphElement).hidden = pictures.length > 0;
    this.tally.textContent = tallyOf(session);
  }

  private add(picture: Shown): HTMLElement {
    const card = fromTemplate('picture-template');
    const image = card.querySelector('img')!;
    image.src = picture.url;
    image.alt = picture.name;
    card.classList.toggle('small', picture.url === picture.thumbnail);
    part(card, 'origin').textContent = picture.truth ? `${picture.name}: ${picture.truth}` : picture.name;
    this.cards.set(picture, card);
    return card;
  }
}

export function tallyOf(session: Session): string {
  const verdicts = session.pictures.flatMap((picture) => session.verdict(picture) ?? []);
  if (verdicts.length === 0) return '';
  return `${verdicts.filter(({ accepted }) => accepted).length} of ${plural(verdicts.length, 'picture')} accepted`;
}

function describe(card: HTMLElement, picture: Shown, session: Session): void {
  const verdict = session.verdict(picture);
  card.dataset.verdict = verdict ? (verdict.accepted ? 'accepted' : 'refused') : 'waiting';
  part(card, 'verdict').textContent = verdict ? (verdict.accepted ? 'Accepted' : 'Refused') : 'Checking…';
  const { scored } = picture;
  part(card, 'label').textContent = scored ? (scored.className ?? `class ${scored.label}`) : ' ';
  if (scored && verdict) {
    show(card, 'energy', scored.energy, number(scored.energy));
    show(card, 'p-value', verdict.pValue, probability(verdict.pValue));
  }
}

/** Rounded for people, exact for programs. */
function show(card: HTMLElement, name: string, value: number, text: string): void {
  const element = part(card, name) as HTMLDataElement;
  element.value = String(value);
  element.textContent = text;
}

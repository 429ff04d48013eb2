import type { Session } from '../session.js';
import { find, say } from './dom.js';
import { count, percent } from './format.js';
import { tallyOf } from './results.js';

/** The slider of the acceptance rate. */
export class Rate {
  private readonly slider = find('accept', HTMLInputElement);
  private readonly output = find('accept-value', HTMLOutputElement);
  private readonly bounds = find('bounds', HTMLParagraphElement);

  constructor(session: Session) {
    this.slider.addEventListener('input', () => session.setAccept(Number(this.slider.value) / 100));
    this.slider.addEventListener('change', () =>
      say(`${this.output.value} accepted in-distribution. ${tallyOf(session)}`),
    );
  }

  show(session: Session): void {
    const { gate, accept, calibrators } = session;
    // Below a half only where the gate was made for that.
    this.slider.min = String(Math.min(50, Math.floor(1000 * Math.min(gate!.accept, accept)) / 10));
    // Rounded down: a rate beyond what the calibration allows is refused.
    this.slider.max = String(Math.floor(1000 * session.highestRate) / 10);
    this.slider.disabled = false;
    this.slider.value = String(100 * accept);
    this.slider.ariaValueText = `${percent(accept)} of in-distribution images`;
    this.output.value = percent(accept);
    const { lower, upper } = calibrators[0]!.bounds(0.95);
    const n = calibrators.reduce((sum, { scores }) => sum + scores.length, 0);
    this.bounds.textContent =
      calibrators.length === 1
        ? `of in-distribution images. Calibrated on ${count(n)} of them: with 95 % confidence the true rate lies between ${percent(lower)} and ${percent(upper)}.`
        : `of in-distribution images of each class. Calibrated on ${count(n)} of them, for ${calibrators.length} classes.`;
  }
}

/** Thrown to end the command with an exit code, all that there is to say having been said. */
export class Exit extends Error {
  override name = 'Exit';
  readonly code: number;

  constructor(code: number) {
    super(`exit ${code}`);
    this.code = code;
  }
}

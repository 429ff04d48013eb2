import { DataError } from '../errors.js';
import { quote } from './array.js';

/** What the names and persistent ids of a pickle stand for. Nothing else in a pickle can reach outside of it. */
export interface PickleHost {
  /** By `module.name`. A {@link PickleFunction} may be called by the pickle; anything else is only passed on. */
  readonly globals: ReadonlyMap<string, unknown>;
  persistent(id: unknown): unknown;
  /** What to do about a pickle that asks for another name. */
  readonly remedy: string;
  /** Whether strings of Python 2 that are longer than 255 bytes are data, to be left as bytes. */
  readonly longStringsAreBytes?: boolean;
}

/** What a {@link PickleFunction} may return for a pickle to fill in. */
export interface PickleObject {
  /** BUILD: Python's `__setstate__`. */
  setState(state: unknown): void;
}

export type PickleFunction = (args: readonly unknown[]) => unknown;

/** A dict: Python's None is null, int is number (bigint beyond 2^53), list and tuple are arrays. */
export type PickleDict = Map<unknown, unknown>;

/**
 * Reads one Python pickle, by the stack machine of Python's `pickletools`, and runs nothing: a name that the host does not
 * list is refused. Opcodes are those that PyTorch's files and NumPy's arrays use (protocols 2 to 4, from Python 2 and 3), and
 * of protocol 0 what dicts of plain values take. Time and memory are proportional to the pickle's length; values may be shared and may contain themselves.
 * @returns the value, and where the pickle ends.
 * @throws {DataError} if the pickle is damaged, or asks for a name or an opcode that is not allowed.
 */
export function readPickle(
  bytes: Uint8Array,
  start: number,
  fileName: string,
  host: PickleHost,
): { value: unknown; end: number } {
  const machine = new PickleMachine(bytes, start, fileName, host);
  while (machine.step());
  return { value: machine.pop(), end: machine.at };
}

class PickleMachine {
  at: number;
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private readonly fileName: string;
  private readonly host: PickleHost;
  private readonly stack: unknown[] = [];
  /** Heights of the stack where a MARK was set. */
  private readonly marks: number[] = [];
  private readonly memo = new Map<number, unknown>();

  constructor(bytes: Uint8Array, start: number, fileName: string, host: PickleHost) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.at = start;
    this.fileName = fileName;
    this.host = host;
  }

  /** Executes one opcode. Returns false at the STOP. */
  step(): boolean {
    const opcode = this.uint8();
    switch (opcode) {
      case 0x80: // PROTO
        this.take(1);
        break;
      case 0x95: // FRAME
        this.take(8);
        break;
      case 0x2e: // STOP
        return false;

      case 0x28: // MARK
        this.marks.push(this.stack.length);
        break;
      case 0x30: // POP
        this.pop();
        break;
      case 0x31: // POP_MARK
        this.popToMark();
        break;

      case 0x4e: // NONE
        this.stack.push(null);
        break;
      case 0x88: // NEWTRUE
        this.stack.push(true);
        break;
      case 0x89: // NEWFALSE
        this.stack.push(false);
        break;
      case 0x4b: // BININT1
        this.stack.push(this.uint8());
        break;
      case 0x4d: // BININT2
        this.stack.push(this.view.getUint16(this.take(2), true));
        break;
      case 0x4a: // BININT
        this.stack.push(this.view.getInt32(this.take(4), true));
        break;
      case 0x8a: // LONG1
        this.stack.push(this.long(this.uint8()));
        break;
      case 0x47: // BINFLOAT
        this.stack.push(this.view.getFloat64(this.take(8), false));
        break;

      case 0x58: // BINUNICODE
        this.stack.push(this.text(this.uint32()));
        break;
      case 0x54: // BINSTRING, a string of Python 2
        this.stack.push(this.host.longStringsAreBytes ? this.raw(this.uint32()) : this.text(this.uint32()));
        break;
      case 0x8c: // SHORT_BINUNICODE
      case 0x55: // SHORT_BINSTRING
        this.stack.push(this.text(this.uint8()));
        break;
      case 0x42: // BINBYTES
        this.stack.push(this.raw(this.uint32()));
        break;
      case 0x43: // SHORT_BINBYTES
        this.stack.push(this.raw(this.uint8()));
        break;

      case 0x29: // EMPTY_TUPLE
      case 0x5d: // EMPTY_LIST
        this.stack.push([]);
        break;
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        this.stack.push(Array.from({ length: opcode - 0x84 }, () => this.pop()).reverse());
        break;
      case 0x74: // TUPLE
        this.stack.push(this.popToMark());
        break;
      case 0x61: // APPEND
        this.append([this.pop()]);
        break;
      case 0x65: // APPENDS
        this.append(this.popToMark());
        break;
      case 0x7d: // EMPTY_DICT
        this.stack.push(new Map());
        break;
      case 0x73: // SETITEM
        this.setItems([this.pop(), this.pop()].reverse());
        break;
      case 0x75: // SETITEMS
        this.setItems(this.popToMark());
        break;

      case 0x71: // BINPUT
        this.memo.set(this.uint8(), this.top());
        break;
      case 0x72: // LONG_BINPUT
        this.memo.set(this.uint32(), this.top());
        break;
      case 0x94: // MEMOIZE
        this.memo.set(this.memo.size, this.top());
        break;
      case 0x68: // BINGET
        this.recall(this.uint8());
        break;
      case 0x6a: // LONG_BINGET
        this.recall(this.uint32());
        break;

      case 0x63: // GLOBAL
        this.global(this.line(), this.line());
        break;
      case 0x93: {
        // STACK_GLOBAL
        const name = this.pop();
        this.global(this.pop(), name);
        break;
      }
      case 0x52: // REDUCE
        this.reduce();
        break;
      case 0x62: // BUILD
        this.build(this.pop());
        break;
      case 0x51: // BINPERSID
        this.stack.push(this.host.persistent(this.pop()));
        break;

      // Protocol 0: a line of text each.
      case 0x49: // INT
        this.stack.push(this.integer(this.line()));
        break;
      case 0x53: // STRING, in quotes
        this.stack.push(this.line().slice(1, -1));
        break;
      case 0x6c: // LIST
        this.stack.push(this.popToMark());
        break;
      case 0x64: {
        // DICT
        const items = this.popToMark();
        this.stack.push(new Map());
        this.setItems(items);
        break;
      }
      case 0x70: // PUT
        this.memo.set(this.integer(this.line()), this.top());
        break;
      case 0x67: // GET
        this.recall(this.integer(this.line()));
        break;

      default:
        throw this.damaged(
          `has the opcode 0x${opcode.toString(16).padStart(2, '0')}, which neither tensors nor arrays need,`,
        );
    }
    return true;
  }

  pop(): unknown {
    const value = this.top();
    this.stack.length--;
    return value;
  }

  private top(): unknown {
    if (this.stack.length <= (this.marks.at(-1) ?? 0)) throw this.damaged('takes a value where there is none');
    return this.stack[this.stack.length - 1];
  }

  private popToMark(): unknown[] {
    const mark = this.marks.pop();
    if (mark === undefined) throw this.damaged('takes values to a mark where there is none');
    return this.stack.splice(mark);
  }

  private append(items: unknown[]): void {
    const list = this.top();
    if (!Array.isArray(list)) throw this.damaged('appends to something other than a list');
    for (const item of items) list.push(item);
  }

  private setItems(items: unknown[]): void {
    const dict = this.top();
    if (!(dict instanceof Map) || items.length % 2) throw this.damaged('sets an item of something other than a dict');
    for (let i = 0; i < items.length; i += 2) dict.set(items[i], items[i + 1]);
  }

  private recall(index: number): void {
    if (!this.memo.has(index)) throw this.damaged('recalls a value that it has not stored');
    this.stack.push(this.memo.get(index));
  }

  private global(module: unknown, name: unknown): void {
    if (typeof module !== 'string' || typeof name !== 'string') throw this.damaged('names a global by other than text');
    const path = `${module}.${name}`;
    if (!this.host.globals.has(path)) {
      throw new DataError(`${this.fileName} asks for ${quote(path)}, which energate does not run; ${this.host.remedy}`);
    }
    this.stack.push(this.host.globals.get(path));
  }

  private reduce(): void {
    const args = this.pop();
    const callable = this.pop();
    if (typeof callable !== 'function' || !Array.isArray(args))
      throw this.damaged('calls something that is no function');
    this.stack.push((callable as PickleFunction)(args));
  }

  /** The attributes of a dict, such as a state dict's _metadata, are of no use to tensors. */
  private build(state: unknown): void {
    const target = this.top();
    if (target instanceof Map) return;
    if (!isPickleObject(target)) throw this.damaged('sets the state of something other than a dict or an array');
    target.setState(state);
  }

  private integer(text: string): number {
    const value = Number(text);
    if (text.trim() === '' || !Number.isSafeInteger(value)) throw this.damaged('has a number that is none');
    return value;
  }

  /** Two's complement, little-endian. */
  private long(length: number): number | bigint {
    const digits = this.raw(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(digits[i]);
    value = BigInt.asIntN(8 * length, value);
    return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  }

  private text(length: number): string {
    return new TextDecoder().decode(this.raw(length));
  }

  private line(): string {
    const end = this.bytes.indexOf(0x0a, this.at);
    if (end < 0) throw this.damaged('is cut short');
    const text = this.text(end - this.at);
    this.at = end + 1;
    return text;
  }

  private raw(length: number): Uint8Array {
    const start = this.take(length);
    return this.bytes.subarray(start, start + length);
  }

  private uint8(): number {
    return this.bytes[this.take(1)];
  }

  private uint32(): number {
    return this.view.getUint32(this.take(4), true);
  }

  /** Passes over `length` bytes, and returns where they start. */
  private take(length: number): number {
    const start = this.at;
    if (start + length > this.bytes.length) throw this.damaged('is cut short');
    this.at = start + length;
    return start;
  }

  private damaged(how: string): DataError {
    return new DataError(
      `${this.fileName} ${how} at byte ${this.at} of its pickle; it is damaged, or of another kind; write it again`,
    );
  }
}

function isPickleObject(value: unknown): value is PickleObject {
  return typeof value === 'object' && value !== null && 'setState' in value;
}

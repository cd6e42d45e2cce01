import { number, object, string, type JsonObject } from './json';
import { levelNamed, levelOf, RANK, type Level } from './level';

/** Where in the program an entry was logged. */
export interface Source {
  readonly file?: string | undefined;
  readonly line?: number | undefined;
  readonly function?: string | undefined;
  readonly thread?: string | undefined;
  readonly task?: string | undefined;
  readonly pid?: number | undefined;
}

export interface Exception {
  readonly type?: string | undefined;
  readonly message?: string | undefined;
  readonly traceback: string;
}

/** What an entry is at the logging service that took it in first, if that is another. */
export interface Origin {
  readonly id: string;
  readonly sessionId: string;
  readonly seq: number | undefined;
  /** When that service received it, by its clock. */
  readonly receivedAt: string | undefined;
}

/** One log entry as this page keeps it: a plain value, never reactive. */
export interface Entry {
  readonly seq: number;
  readonly id: string;
  readonly timestamp: string | undefined;
  readonly receivedAt: string | undefined;
  readonly level: Level;
  readonly severity: number;
  readonly service: string;
  readonly serviceKey: string;
  readonly logger: string;
  readonly message: string;
  readonly sessionId: string;
  readonly host: string | undefined;
  readonly origin: Origin | undefined;
  readonly source: Source | undefined;
  readonly exception: Exception | undefined;
  readonly fields: JsonObject | undefined;
  /** Further occurrences folded into this one; 0 if it was seen once. */
  readonly repeats: number;
  readonly lastRepeat: string | undefined;
}

/**
 * Reads an entry, filling in what is absent. Only `seq` is indispensable,
 * because it says where the entry belongs: without it the answer is `undefined`.
 */
export function parseEntry(value: unknown): Entry | undefined {
  const wire = object(value);
  const seq = number(wire?.['seq']);
  if (wire === undefined || seq === undefined) return undefined;
  const sessionId = string(wire['session_id']) ?? '';
  return {
    seq,
    id: string(wire['entry_id']) ?? `${sessionId}/${seq}`,
    timestamp: string(wire['timestamp']) ?? string(wire['received_at']),
    receivedAt: string(wire['received_at']),
    ...levelIn(wire),
    ...serviceIn(wire),
    message: string(wire['message']) ?? '',
    sessionId,
    host: string(wire['host']),
    origin: originIn(wire['origin']),
    source: sourceIn(wire['source']),
    exception: exceptionIn(wire['exception']),
    fields: fieldsIn(wire['fields']),
    repeats: number(wire['repeats']) ?? 0,
    lastRepeat: undefined,
  };
}

function levelIn(wire: JsonObject): Pick<Entry, 'level' | 'severity'> {
  const severity = number(wire['severity']);
  const level = levelNamed(wire['level']) ?? (severity === undefined ? 'INFO' : levelOf(severity));
  return { level, severity: severity ?? (RANK[level] + 1) * 10 };
}

function serviceIn(wire: JsonObject): Pick<Entry, 'service' | 'serviceKey' | 'logger'> {
  const logger = string(wire['logger']) ?? '';
  const key = string(wire['service_key']);
  const service = string(wire['service']) ?? key ?? (logger || 'System');
  return { service, serviceKey: key ?? service, logger };
}

function originIn(value: unknown): Origin | undefined {
  const wire = object(value);
  const id = string(wire?.['id']);
  if (wire === undefined || id === undefined) return undefined;
  return {
    id,
    sessionId: string(wire['session_id']) ?? '',
    seq: number(wire['seq']),
    receivedAt: string(wire['received_at']),
  };
}

function sourceIn(value: unknown): Source | undefined {
  const wire = object(value);
  if (wire === undefined) return undefined;
  return {
    file: string(wire['file']),
    line: number(wire['line']),
    function: string(wire['function']),
    thread: string(wire['thread']),
    task: string(wire['task']),
    pid: number(wire['pid']),
  };
}

function exceptionIn(value: unknown): Exception | undefined {
  if (typeof value === 'string') return { traceback: value };
  const wire = object(value);
  if (wire === undefined) return undefined;
  return {
    type: string(wire['type']),
    message: string(wire['message']),
    traceback: string(wire['traceback']) ?? '',
  };
}

function fieldsIn(value: unknown): JsonObject | undefined {
  const fields = object(value);
  return fields !== undefined && Object.keys(fields).length > 0 ? fields : undefined;
}

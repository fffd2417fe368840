/** Of a receipt, what the page shows. It is the server's own, but written by an executor that may be newer. */
export interface Receipt {
  executor: string
  container: string | undefined
  image: string | undefined
  runtime: string | undefined
  network: string | undefined
  calls: number
  denied: number
  /** The key that signed it; undefined for one that nobody signed. */
  keyId: string | undefined
}

export function readReceipt(receipt: Record<string, unknown>): Receipt {
  const sandbox = object(receipt['sandbox'])
  const settings = object(sandbox['settings'])
  const egress = object(receipt['egress'])
  return {
    executor: text(receipt['executor']) ?? '',
    container: text(sandbox['container']),
    image: text(settings['image']),
    runtime: text(settings['runtime']),
    network: text(settings['network']),
    calls: count(egress['calls']),
    denied: count(egress['denied']),
    keyId: text(object(receipt['signature'])['keyId']),
  }
}

function object(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

function count(value: unknown): number {
  return typeof value === 'number' ? value : 0
}

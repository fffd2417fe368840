/** The fields of a receipt that the page shows. Each may be missing: a newer executor may have written the receipt. */
export interface Receipt {
  executor: string
  container: string | undefined
  image: string | undefined
  runtime: string | undefined
  network: string | undefined
  calls: number
  denied: number
  /** The ID of the key that signed it; undefined without a signature. */
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

import { formatExact, formatMoment } from './format.ts'

/** A time in the reader's zone, with the exact one on demand. */
export function Moment({ iso }: { iso: string }) {
  return (
    <time dateTime={iso} title={formatExact(iso)}>
      {formatMoment(iso)}
    </time>
  )
}

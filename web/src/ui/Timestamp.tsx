import { formatExact, formatTimestamp } from './format.ts'

/** A time in the reader's time zone. Its tooltip shows it exactly. */
export function Timestamp({ iso }: { iso: string }) {
  return (
    <time dateTime={iso} title={formatExact(iso)}>
      {formatTimestamp(iso)}
    </time>
  )
}

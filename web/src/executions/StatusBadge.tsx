import type { Status } from '../api/types.ts'
import { statusLabel } from './status.ts'

const dotStyles: Record<Status, string> = {
  queued: 'border-2 border-edge',
  running: 'bg-accent animate-blink motion-reduce:animate-none',
  succeeded: 'bg-accent',
  failed: 'bg-danger',
  timed_out: 'bg-danger',
  canceled: 'bg-edge',
}

/** The status as a coloured dot and a word. The colour alone never carries the meaning. */
export function StatusBadge({ status }: { status: Status }) {
  return (
    <span className="inline-flex items-center gap-2 whitespace-nowrap">
      <span aria-hidden="true" className={`size-2.5 rounded-full ${dotStyles[status]}`} />
      {statusLabel[status]}
    </span>
  )
}

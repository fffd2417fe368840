import type { Status } from '../api/types.ts'
import { statusLabel } from './status.ts'

const lamps: Record<Status, string> = {
  queued: 'border-2 border-edge',
  running: 'bg-accent animate-breathe motion-reduce:animate-none',
  succeeded: 'bg-accent',
  failed: 'bg-danger',
  timed_out: 'bg-danger',
  canceled: 'bg-edge',
}

/** The status as a lamp and a word; the lamp alone never carries the meaning. */
export function StatusLamp({ status }: { status: Status }) {
  return (
    <span className="inline-flex items-center gap-2 whitespace-nowrap">
      <span aria-hidden="true" className={`size-2.5 rounded-full ${lamps[status]}`} />
      {statusLabel[status]}
    </span>
  )
}

import type { Execution } from '../api/types.ts'
import { formatElapsed } from '../ui/format.ts'
import { useNow } from '../ui/useNow.ts'
import { CancelButton } from './CancelButton.tsx'
import { phaseStart } from './status.ts'
import { StatusBadge } from './StatusBadge.tsx'
import { Steps } from './Steps.tsx'

interface Props {
  executionId: string
  execution: Execution | undefined
  connectionError: Error | undefined
}

/** The status of an unfinished execution, the time in that status, and a button that cancels it. */
export function Progress({ executionId, execution, connectionError }: Props) {
  return (
    <div className="flex w-fit max-w-full flex-wrap items-center gap-x-3 rounded-lg border border-line bg-surface py-1 pr-1 pl-4 text-sm">
      <StatusBadge status={execution?.status ?? 'queued'} />
      {execution && <Elapsed execution={execution} />}
      {execution && execution.attempt > 1 && <span className="text-muted">attempt {execution.attempt}</span>}
      <CancelButton executionId={executionId} requested={execution?.cancelRequested ?? false} />
      {execution?.status === 'running' && (
        <Steps key={`${executionId} ${execution.attempt}`} executionId={executionId} />
      )}
      {connectionError && (
        <p className="w-full pb-1 text-danger">
          {connectionError.message} The execution continues without this page, and the page keeps trying.
        </p>
      )}
    </div>
  )
}

function Elapsed({ execution }: { execution: Execution }) {
  const now = useNow(true)
  return (
    <span role="timer" className="font-mono text-xs text-muted tabular-nums">
      {formatElapsed(now - Date.parse(phaseStart(execution)))}
    </span>
  )
}

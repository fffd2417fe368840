import { useQuery } from '@tanstack/react-query'
import { api, unwrap } from '../api/client.ts'
import { queryKeys } from '../api/queryKeys.ts'
import type { Attempt, Execution } from '../api/types.ts'
import { ProblemNotice } from '../ui/ProblemNotice.tsx'
import { formatDuration, formatExact } from '../ui/format.ts'

/** The attempts of an execution that has more than one, the newest last. */
export function Attempts({ execution }: { execution: Execution }) {
  const { id, attempt, status } = execution
  const { data, error } = useQuery({
    queryKey: queryKeys.attempts(id, attempt, status),
    queryFn: () => unwrap(api.GET('/executions/{id}/attempts', { params: { path: { id } } })),
    enabled: attempt > 1,
  })
  if (error) {
    return <ProblemNotice error={error} />
  }
  if (!data || attempt <= 1) {
    return null
  }
  return (
    <section aria-label="Attempts">
      <h2 className="label-small mb-2">Attempts</h2>
      {data.omitted > 0 && (
        <p className="mb-2 text-xs text-muted">
          Older attempts that are not kept: {data.omitted.toLocaleString()}
        </p>
      )}
      <ol className="border-t border-line text-sm">
        {data.attempts.map((a) => (
          <li key={a.number} className="flex justify-between gap-4 border-b border-line py-2">
            <span className="text-muted">
              {a.number} · {a.executor}
            </span>
            <span className="text-right tabular-nums">
              {outcome(a)}
              <span className="block text-xs text-muted">
                claimed {formatExact(a.claimedAt)}
                {a.endedAt &&
                  `, ended after ${formatDuration(Date.parse(a.endedAt) - Date.parse(a.claimedAt))}`}
              </span>
            </span>
          </li>
        ))}
      </ol>
    </section>
  )
}

const outcomes: Record<Attempt['outcome'], string> = {
  running: 'running',
  succeeded: 'succeeded',
  failed: 'failed',
  timed_out: 'timed out',
  canceled: 'canceled',
  start_failed: 'did not start',
  interrupted: 'interrupted by a failure of Airlock',
  handed_back: 'handed back: the executor shut down',
  lease_expired: 'lost its executor',
}

function outcome({ outcome, code, detail }: Attempt): string {
  const reason = detail ?? (code === outcome ? undefined : code)
  return reason === undefined ? outcomes[outcome] : `${outcomes[outcome]}: ${reason}`
}

import { ProblemNotice } from '../ui/ProblemNotice.tsx'
import { formatCount } from './format.ts'
import { useStatus } from './queries.ts'
import { Cell, Table } from './Table.tsx'

export function StatusView() {
  const status = useStatus()
  if (status.error) {
    return <ProblemNotice error={status.error} onRetry={() => void status.refetch()} />
  }
  if (!status.data) {
    return <p className="text-muted">Loading…</p>
  }
  const { checks, fleet, work } = status.data
  return (
    <>
      <section aria-label="Health" className="flex flex-col gap-2">
        <h2 className="label-small">Health</h2>
        <ul className="flex flex-wrap gap-x-6 gap-y-1.5 rounded-xl border border-line bg-surface px-4 py-3 text-sm">
          {checks.map(({ name, ok, detail }) => (
            <li key={name} className={ok ? '' : 'w-full text-danger'}>
              <span aria-hidden="true">{ok ? '✓' : '✕'}</span> {name}
              {ok ? <span className="sr-only"> works</span> : <span>: {detail}</span>}
            </li>
          ))}
        </ul>
      </section>
      {work && (
        <Table title="Work" columns={['Lane', 'Waiting', 'Running', 'Slots']}>
          {(['interactive', 'batch'] as const).map((lane) => (
            <tr key={lane}>
              <Cell>{lane === 'batch' ? 'Batches' : 'Runs and conversations'}</Cell>
              <Cell>{formatCount(work.waiting[lane], work)}</Cell>
              <Cell>{formatCount(work.running[lane], work)}</Cell>
              <Cell>{fleet?.slots[lane].toLocaleString() ?? '–'}</Cell>
            </tr>
          ))}
        </Table>
      )}
    </>
  )
}

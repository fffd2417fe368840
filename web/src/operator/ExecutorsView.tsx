import type { Executor } from '../api/types.ts'
import { Button } from '../ui/Button.tsx'
import { ProblemNotice } from '../ui/ProblemNotice.tsx'
import { Timestamp } from '../ui/Timestamp.tsx'
import { executorState } from './format.ts'
import { useDrain, useExecutors } from './queries.ts'
import { Cell, Table } from './Table.tsx'

export function ExecutorsView() {
  const executors = useExecutors()
  return (
    <>
      {executors.error && <ProblemNotice error={executors.error} onRetry={() => void executors.refetch()} />}
      <Table title="Executors" columns={['Name', 'State', 'Busy', 'Runtimes', 'Version', 'Started', '']}>
        {executors.data?.executors.map((executor) => (
          <ExecutorRow key={executor.session} executor={executor} />
        ))}
        {executors.data?.executors.length === 0 && (
          <tr>
            <Cell>None. Work waits until one starts.</Cell>
          </tr>
        )}
      </Table>
      {executors.data?.nextCursor !== undefined && (
        <p className="text-sm text-muted">
          Only the first {executors.data.executors.length}; airlock executor list shows all.
        </p>
      )}
    </>
  )
}

function ExecutorRow({ executor }: { executor: Executor }) {
  const drain = useDrain(executor.name)
  const labels = Object.entries(executor.labels ?? {}).map(([name, value]) => `${name}=${value}`)
  return (
    <tr>
      <Cell>
        {executor.name}
        <span className="block text-xs text-muted">{[executor.architecture, ...labels].join(' ')}</span>
      </Cell>
      <Cell>
        <span className={executor.alive ? '' : 'text-danger'}>{executorState(executor)}</span>
        {executor.reason !== undefined && (
          <span className="block text-xs text-danger">{executor.reason}</span>
        )}
      </Cell>
      <Cell>
        {executor.busySlots} of {executor.slots}
        {executor.reservedSlots > 0 && (
          <span className="block text-xs text-muted">{executor.reservedSlots} not for batches</span>
        )}
      </Cell>
      <Cell>
        {executor.runtimes.map(({ name, image, unavailable }) => (
          <span key={name} title={image} className="block">
            {name}
            {unavailable !== undefined && <span className="text-danger">: {unavailable}</span>}
          </span>
        ))}
      </Cell>
      <Cell>{executor.version}</Cell>
      <Cell>
        <Timestamp iso={executor.startedAt} />
      </Cell>
      <Cell>
        {executor.alive && (
          <Button
            disabled={drain.isPending}
            aria-label={`${executor.draining ? 'Resume' : 'Drain'} ${executor.name}`}
            onClick={() => drain.mutate(!executor.draining)}
          >
            {executor.draining ? 'Resume' : 'Drain'}
          </Button>
        )}
        {drain.error && <ProblemNotice error={drain.error} />}
      </Cell>
    </tr>
  )
}

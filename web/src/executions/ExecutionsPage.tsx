import { EmptyState } from '../ui/EmptyState.tsx'
import { PageHeader } from '../ui/PageHeader.tsx'
import { ProblemNotice } from '../ui/ProblemNotice.tsx'
import { TextLink } from '../ui/TextLink.tsx'
import { ExecutionList } from './ExecutionList.tsx'
import { useExecutions } from './useExecutions.ts'

export function ExecutionsPage() {
  const executions = useExecutions()
  return (
    <>
      <PageHeader title="Executions" />
      <div className="relative flex-1 overflow-y-auto px-4 py-6">
        <div className="mx-auto flex max-w-3xl flex-col gap-4">
          {executions.isPending && <p className="text-muted">Loading…</p>}
          {executions.error && (
            <ProblemNotice error={executions.error} onRetry={() => void executions.refetch()} />
          )}
          {executions.data?.length === 0 && (
            <EmptyState title="No executions yet">
              <TextLink to={{ page: 'new' }}>Send a message</TextLink> or run an agent. Each message and each
              run is an execution, and this list shows it with its result.
            </EmptyState>
          )}
          {executions.data && executions.data.length > 0 && <ExecutionList executions={executions.data} />}
        </div>
      </div>
    </>
  )
}

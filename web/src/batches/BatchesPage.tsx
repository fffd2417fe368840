import { useAgents } from '../agents/queries.ts'
import { hrefOf } from '../route/route.ts'
import { EmptyState } from '../ui/EmptyState.tsx'
import { Timestamp } from '../ui/Timestamp.tsx'
import { PageHeader } from '../ui/PageHeader.tsx'
import { ProblemNotice } from '../ui/ProblemNotice.tsx'
import { batchLabel, useBatches } from './queries.ts'

export function BatchesPage() {
  const batches = useBatches()
  const agents = useAgents()
  const nameOf = (id: string) => agents.data?.find((agent) => agent.id === id)?.name ?? id
  return (
    <>
      <PageHeader title="Batches" />
      <div className="relative flex-1 overflow-y-auto px-4 py-6">
        <div className="mx-auto flex max-w-3xl flex-col gap-4">
          {batches.isPending && <p className="text-muted">Loading…</p>}
          {batches.error && <ProblemNotice error={batches.error} onRetry={() => void batches.refetch()} />}
          {batches.data?.length === 0 && (
            <EmptyState title="No batches yet">
              <p>A batch runs an agent on up to 100,000 inputs:</p>
              <code className="mt-2 block font-mono text-xs break-all">
                airlock batch submit inputs.jsonl --agent NAME
              </code>
            </EmptyState>
          )}
          {batches.data && batches.data.length > 0 && (
            <ul className="divide-y divide-line rounded-xl border border-line bg-surface">
              {batches.data.map((batch) => (
                <li key={batch.id}>
                  <a
                    href={hrefOf({ page: 'batch', id: batch.id })}
                    className="flex items-center gap-x-4 px-4 py-2.5 text-sm hover:bg-soft"
                  >
                    <span className="w-24 shrink-0">{batchLabel[batch.status]}</span>
                    <span className="min-w-0 flex-1 truncate">
                      {batch.total.toLocaleString()} × {nameOf(batch.agentId)}
                    </span>
                    <span className="text-xs text-muted">
                      <Timestamp iso={batch.createdAt} />
                    </span>
                  </a>
                </li>
              ))}
            </ul>
          )}
        </div>
      </div>
    </>
  )
}

import type { Execution } from '../api/types.ts'
import { hrefOf } from '../route/route.ts'
import { Timestamp } from '../ui/Timestamp.tsx'
import { StatusBadge } from './StatusBadge.tsx'

export function ExecutionList({ executions }: { executions: Execution[] }) {
  return (
    <ul className="divide-y divide-line rounded-xl border border-line bg-surface">
      {executions.map((execution) => (
        <li key={execution.id}>
          <a
            href={hrefOf({ page: 'execution', id: execution.id })}
            className="flex items-center gap-x-4 px-4 py-2.5 text-sm hover:bg-soft max-sm:flex-wrap"
          >
            <span className="w-28 shrink-0">
              <StatusBadge status={execution.status} />
            </span>
            <span className="min-w-0 flex-1 truncate max-sm:order-last max-sm:w-full max-sm:flex-none">
              {execution.input.slice(0, 200)}
            </span>
            <span className="text-xs text-muted max-sm:ml-auto">
              <Timestamp iso={execution.createdAt} />
            </span>
          </a>
        </li>
      ))}
    </ul>
  )
}

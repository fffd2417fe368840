import { hrefOf } from '../route/route.ts'
import { EmptyState } from '../ui/EmptyState.tsx'
import { PageHeader } from '../ui/PageHeader.tsx'
import { ProblemNotice } from '../ui/ProblemNotice.tsx'
import { TextLink } from '../ui/TextLink.tsx'
import { networkText } from './fields.ts'
import { useEnvironments } from './queries.ts'

export function EnvironmentsPage() {
  const environments = useEnvironments()
  return (
    <>
      <PageHeader title="Environments">
        <span className="text-sm whitespace-nowrap">
          <TextLink to={{ page: 'new-environment' }}>New environment</TextLink>
        </span>
      </PageHeader>
      <div className="relative flex-1 overflow-y-auto px-4 py-6">
        <div className="mx-auto flex max-w-3xl flex-col gap-4">
          {environments.isPending && <p className="text-muted">Loading…</p>}
          {environments.error && (
            <ProblemNotice error={environments.error} onRetry={() => void environments.refetch()} />
          )}
          {environments.data?.length === 0 && (
            <EmptyState title="No environments yet">
              An environment says what the sandboxes of an agent can reach, and which variables they have.
              Without one there is no network.
            </EmptyState>
          )}
          {environments.data && environments.data.length > 0 && (
            <ul className="divide-y divide-line rounded-xl border border-line bg-surface">
              {environments.data.map((environment) => (
                <li key={environment.id}>
                  <a
                    href={hrefOf({ page: 'environment', id: environment.id })}
                    className="flex items-center gap-x-4 px-4 py-2.5 text-sm hover:bg-soft"
                  >
                    <span className="min-w-0 flex-1 truncate">{environment.name}</span>
                    <span className="min-w-0 truncate text-xs text-muted">{networkText(environment)}</span>
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

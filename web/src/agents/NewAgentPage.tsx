import { navigate } from '../route/route.ts'
import { PageHeader } from '../ui/PageHeader.tsx'
import { AgentForm } from './AgentForm.tsx'
import { fieldsOf, newAgentOf } from './fields.ts'
import { useCreateAgent } from './queries.ts'

export function NewAgentPage() {
  const create = useCreateAgent()
  return (
    <>
      <PageHeader title="New agent" />
      <div className="relative flex-1 overflow-y-auto px-4 py-6">
        <div className="mx-auto max-w-3xl">
          <AgentForm
            initial={fieldsOf()}
            action="Create agent"
            onSubmit={(fields) =>
              create.mutate(newAgentOf(fields), { onSuccess: ({ id }) => navigate({ page: 'agent', id }) })
            }
            busy={create.isPending}
            error={create.error}
          />
        </div>
      </div>
    </>
  )
}

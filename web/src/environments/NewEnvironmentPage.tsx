import { navigate } from '../route/route.ts'
import { PageHeader } from '../ui/PageHeader.tsx'
import { EnvironmentForm } from './EnvironmentForm.tsx'
import { fieldsOf, newEnvironmentOf } from './fields.ts'
import { useCreateEnvironment } from './queries.ts'

export function NewEnvironmentPage() {
  const create = useCreateEnvironment()
  return (
    <>
      <PageHeader title="New environment" />
      <div className="relative flex-1 overflow-y-auto px-4 py-6">
        <div className="mx-auto max-w-3xl">
          <EnvironmentForm
            initial={fieldsOf()}
            action="Create environment"
            onSubmit={(fields) =>
              create.mutate(newEnvironmentOf(fields), {
                onSuccess: ({ id }) => navigate({ page: 'environment', id }),
              })
            }
            busy={create.isPending}
            error={create.error}
          />
        </div>
      </div>
    </>
  )
}

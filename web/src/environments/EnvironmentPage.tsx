import { useState } from 'react'
import type { Environment } from '../api/types.ts'
import { Button } from '../ui/Button.tsx'
import { Fact } from '../ui/Fact.tsx'
import { PageHeader } from '../ui/PageHeader.tsx'
import { ProblemNotice } from '../ui/ProblemNotice.tsx'
import { DeleteEnvironment } from './DeleteEnvironment.tsx'
import { EnvironmentForm } from './EnvironmentForm.tsx'
import { EnvironmentVersions } from './EnvironmentVersions.tsx'
import { changeOf, fieldsOf, networkText } from './fields.ts'
import { useEnvironment, useUpdateEnvironment } from './queries.ts'

export function EnvironmentPage({ id }: { id: string }) {
  const environment = useEnvironment(id)
  return (
    <>
      <PageHeader kind="Environment" title={environment.data?.name ?? id} />
      <div className="relative flex-1 overflow-y-auto px-4 py-6">
        <div className="mx-auto flex max-w-3xl flex-col gap-6">
          {environment.isPending && <p className="text-muted">Loading…</p>}
          {environment.error && (
            <ProblemNotice error={environment.error} onRetry={() => void environment.refetch()} />
          )}
          {environment.data && <Details environment={environment.data} />}
        </div>
      </div>
    </>
  )
}

/** Shows an environment, or its form while the user edits it. */
function Details({ environment }: { environment: Environment }) {
  // The environment as it was when the user began to edit it.
  const [edited, setEdited] = useState<Environment>()
  const update = useUpdateEnvironment(environment.id)
  if (edited) {
    return (
      <EnvironmentForm
        initial={fieldsOf(edited)}
        action="Save changes"
        onSubmit={(fields) =>
          update.mutate(
            { ...changeOf(fields, edited), version: edited.version },
            { onSuccess: () => setEdited(undefined) },
          )
        }
        onCancel={() => setEdited(undefined)}
        busy={update.isPending}
        error={update.error}
      />
    )
  }
  return (
    <section aria-label="About this environment" className="flex flex-col gap-3">
      {environment.description && <p className="text-verbatim">{environment.description}</p>}
      <dl aria-label="Settings" className="border-t border-line text-sm">
        <Fact name="Network">{networkText(environment)}</Fact>
        {Object.entries(environment.variables ?? {}).map(([name, value]) => (
          <Fact key={name} name={name}>
            {value}
          </Fact>
        ))}
      </dl>
      <EnvironmentVersions environment={environment} />
      <div className="flex flex-wrap items-center gap-3">
        <Button onClick={() => setEdited(environment)}>Edit environment</Button>
        <DeleteEnvironment environment={environment} />
      </div>
    </section>
  )
}

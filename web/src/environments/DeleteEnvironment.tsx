import { useState } from 'react'
import type { Environment } from '../api/types.ts'
import { navigate } from '../route/route.ts'
import { Button } from '../ui/Button.tsx'
import { ProblemNotice } from '../ui/ProblemNotice.tsx'
import { useDeleteEnvironment } from './queries.ts'

/** Deletes an environment after the user has confirmed it. */
export function DeleteEnvironment({ environment }: { environment: Environment }) {
  const [confirming, setConfirming] = useState(false)
  const remove = useDeleteEnvironment(environment.id)
  if (!confirming) {
    return (
      <Button look="plain" onClick={() => setConfirming(true)}>
        Delete…
      </Button>
    )
  }
  return (
    <div
      role="group"
      aria-label="Delete this environment?"
      className="flex flex-wrap items-center gap-3 text-sm"
    >
      <span>Agents that name it take no more work until they name another.</span>
      <Button
        disabled={remove.isPending}
        onClick={() => remove.mutate(undefined, { onSuccess: () => navigate({ page: 'environments' }) })}
      >
        {remove.isPending ? 'Deleting…' : 'Delete environment'}
      </Button>
      <Button look="plain" onClick={() => setConfirming(false)}>
        Keep environment
      </Button>
      {remove.error && <ProblemNotice error={remove.error} />}
    </div>
  )
}

import { useState } from 'react'
import type { Agent } from '../api/types.ts'
import { navigate } from '../route/route.ts'
import { Button } from '../ui/Button.tsx'
import { ProblemNotice } from '../ui/ProblemNotice.tsx'
import { useDeleteAgent } from './queries.ts'

/** Deletes an agent after the user has confirmed it. */
export function DeleteAgent({ agent }: { agent: Agent }) {
  const [confirming, setConfirming] = useState(false)
  const remove = useDeleteAgent(agent.id)
  if (!confirming) {
    return (
      <Button look="plain" onClick={() => setConfirming(true)}>
        Delete…
      </Button>
    )
  }
  return (
    <div role="group" aria-label="Delete this agent?" className="flex flex-wrap items-center gap-3 text-sm">
      <span>Its runs stay; its conversations take no more messages.</span>
      <Button
        disabled={remove.isPending}
        onClick={() => remove.mutate(undefined, { onSuccess: () => navigate({ page: 'new' }) })}
      >
        {remove.isPending ? 'Deleting…' : 'Delete agent'}
      </Button>
      <Button look="plain" onClick={() => setConfirming(false)}>
        Keep agent
      </Button>
      {remove.error && <ProblemNotice error={remove.error} />}
    </div>
  )
}

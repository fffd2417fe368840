import { useState } from 'react'
import type { Agent } from '../api/types.ts'
import { navigate } from '../route/route.ts'
import { Button } from '../ui/Button.tsx'
import { ProblemNotice } from '../ui/ProblemNotice.tsx'
import { useDeleteAgent } from './queries.ts'

/** Deletes an agent, after it was asked twice. */
export function DeleteAgent({ agent }: { agent: Agent }) {
  const [asked, setAsked] = useState(false)
  const remove = useDeleteAgent(agent.id)
  if (!asked) {
    return (
      <Button look="plain" onClick={() => setAsked(true)}>
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
        {remove.isPending ? 'Deleting…' : 'Delete it'}
      </Button>
      <Button look="plain" onClick={() => setAsked(false)}>
        Keep it
      </Button>
      {remove.error && <ProblemNotice error={remove.error} />}
    </div>
  )
}

import { useState } from 'react'
import type { Agent } from '../api/types.ts'
import { Button } from '../ui/Button.tsx'
import { AgentForm } from './AgentForm.tsx'
import { DeleteAgent } from './DeleteAgent.tsx'
import { changeOf, fieldsOf } from './fields.ts'
import { Instructions } from './Instructions.tsx'
import { useUpdateAgent } from './queries.ts'

/** Shows an agent, or its form while the user edits it. */
export function AgentDetails({ agent }: { agent: Agent }) {
  const [editing, setEditing] = useState(false)
  const update = useUpdateAgent(agent.id)
  if (editing) {
    return (
      <AgentForm
        initial={fieldsOf(agent)}
        action="Save changes"
        onSubmit={(fields) => update.mutate(changeOf(fields), { onSuccess: () => setEditing(false) })}
        onCancel={() => setEditing(false)}
        busy={update.isPending}
        error={update.error}
      />
    )
  }
  return (
    <section aria-label="About this agent" className="flex flex-col gap-2">
      {agent.description && <p className="text-verbatim">{agent.description}</p>}
      <p className="text-verbatim font-mono text-xs text-muted">
        {[agent.runtime, agent.model, `at most ${agent.timeout} a run`, ...budgetLimits(agent)]
          .filter(Boolean)
          .join(' · ')}
      </p>
      <Instructions text={agent.instructions} open={agent.instructions.length < 600} />
      <div className="flex flex-wrap items-center gap-3">
        <Button onClick={() => setEditing(true)}>Edit agent</Button>
        <DeleteAgent agent={agent} />
      </div>
    </section>
  )
}

function budgetLimits({ budget }: Agent): string[] {
  return [
    ...(budget?.maxTokens === undefined ? [] : [`${budget.maxTokens.toLocaleString()} tokens`]),
    ...(budget?.maxCostUsd === undefined ? [] : [`${budget.maxCostUsd} USD`]),
  ]
}

import { useState } from 'react'
import type { Agent } from '../api/types.ts'
import { EnvironmentLink } from '../environments/EnvironmentLink.tsx'
import { Button } from '../ui/Button.tsx'
import { AgentForm } from './AgentForm.tsx'
import { DeleteAgent } from './DeleteAgent.tsx'
import { changeOf, fieldsOf } from './fields.ts'
import { Instructions } from './Instructions.tsx'
import { useUpdateAgent } from './queries.ts'
import { SettingsSummary } from './SettingsSummary.tsx'
import { Versions } from './Versions.tsx'

/** Shows an agent, or its form while the user edits it. */
export function AgentDetails({ agent }: { agent: Agent }) {
  // The agent as it was when the user began to edit it.
  const [edited, setEdited] = useState<Agent>()
  const update = useUpdateAgent(agent.id)
  if (edited) {
    return (
      <AgentForm
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
    <section aria-label="About this agent" className="flex flex-col gap-2">
      {agent.description && <p className="text-verbatim">{agent.description}</p>}
      <p className="text-verbatim font-mono text-xs text-muted">
        {[
          agent.runtime,
          agent.model,
          `at most ${agent.timeout} a run`,
          ...budgetLimits(agent),
          agent.transcriptRetention && `transcripts for ${agent.transcriptRetention}`,
        ]
          .filter(Boolean)
          .join(' · ')}
      </p>
      {agent.environmentId !== undefined && (
        <p className="text-sm text-muted">
          in the environment <EnvironmentLink id={agent.environmentId} />
        </p>
      )}
      <Instructions text={agent.instructions} open={agent.instructions.length < 600} />
      <SettingsSummary agent={agent} />
      <Versions agent={agent} />
      <div className="flex flex-wrap items-center gap-3">
        <Button onClick={() => setEdited(agent)}>Edit agent</Button>
        <DeleteAgent agent={agent} />
      </div>
    </section>
  )
}

function budgetLimits({ budget, dailyBudget, retry }: Agent): string[] {
  return [
    ...(budget?.maxTokens === undefined ? [] : [`${budget.maxTokens.toLocaleString()} tokens`]),
    ...(budget?.maxCostUsd === undefined ? [] : [`${budget.maxCostUsd} USD`]),
    ...(dailyBudget?.usd === undefined ? [] : [`${dailyBudget.usd} USD a day`]),
    ...(retry?.maxAttempts === undefined || retry.maxAttempts < 2
      ? []
      : [`at most ${retry.maxAttempts} attempts`]),
  ]
}

import { useState } from 'react'
import { idempotencyKey } from '../api/client.ts'
import { useAttachments, type AttachedFile } from '../attachments/useAttachments.ts'
import { Composer } from '../composer/Composer.tsx'
import { EnvironmentSelect } from '../environments/EnvironmentSelect.tsx'
import { ExecutionList } from '../executions/ExecutionList.tsx'
import { RunCard } from '../executions/RunCard.tsx'
import { maxListed, useExecutions } from '../executions/useExecutions.ts'
import { Button } from '../ui/Button.tsx'
import { PageHeader } from '../ui/PageHeader.tsx'
import { ProblemNotice } from '../ui/ProblemNotice.tsx'
import { TextLink } from '../ui/TextLink.tsx'
import { AgentDetails } from './AgentDetails.tsx'
import { NoConversations } from './NoConversations.tsx'
import { useAgent, useRunAgent } from './queries.ts'

export function AgentPage({ id }: { id: string }) {
  const agent = useAgent(id)
  return (
    <>
      <PageHeader kind="Agent" title={agent.data?.name ?? id}>
        {agent.data?.conversations && (
          <span className="text-sm whitespace-nowrap">
            <TextLink to={{ page: 'new', agentId: id }}>Start a conversation</TextLink>
          </span>
        )}
      </PageHeader>
      <div className="relative flex-1 overflow-y-auto px-4 py-6">
        <div className="mx-auto flex max-w-3xl flex-col gap-6">
          {agent.isPending && <p className="text-muted">Loading…</p>}
          {agent.error && <ProblemNotice error={agent.error} onRetry={() => void agent.refetch()} />}
          {agent.data && <AgentDetails agent={agent.data} />}
          {agent.data && !agent.data.conversations && <NoConversations runtime={agent.data.runtime} />}
          {agent.data && <Runs agentId={id} />}
        </div>
      </div>
    </>
  )
}

function Runs({ agentId }: { agentId: string }) {
  const [input, setInput] = useState('')
  const [environmentId, setEnvironmentId] = useState('')
  const attachments = useAttachments()
  const run = useRunAgent(agentId)
  const executions = useExecutions()
  const runs = (executions.data ?? []).filter((e) => e.kind === 'run' && e.agentId === agentId)
  const newest = run.data?.executionId ?? runs[0]?.id
  const earlier = runs.filter(({ id }) => id !== newest)

  function start(input: string, files: AttachedFile[]) {
    run.mutate({ input, files, environmentId, key: idempotencyKey() })
  }

  function edit() {
    setInput(run.variables?.input ?? '')
    attachments.restore(run.variables?.files ?? [])
    run.reset()
  }

  return (
    <>
      <section aria-label="Run this agent" className="flex flex-col gap-3">
        <Composer
          label="Input for one run"
          action="Run"
          text={input}
          onTextChange={setInput}
          onSubmit={start}
          attachments={attachments}
          busy={run.isPending}
        />
        <EnvironmentSelect
          label="Environment of the run"
          none="The agent’s"
          value={environmentId}
          onChange={setEnvironmentId}
        />
        {run.error && (
          <ProblemNotice error={run.error}>
            <Button onClick={() => run.mutate(run.variables)}>Run again</Button>
            <Button look="plain" onClick={edit}>
              Edit
            </Button>
          </ProblemNotice>
        )}
      </section>
      {executions.error && <ProblemNotice error={executions.error} />}
      {newest !== undefined && (
        <RunCard key={newest} executionId={newest} onRunAgain={run.isPending ? undefined : start} />
      )}
      {executions.data && newest === undefined && (
        <p className="text-muted">
          {executions.data.length === maxListed
            ? `None of the newest ${maxListed} executions is a run of this agent. Write an input above and press Run.`
            : 'No runs yet. Write an input above and press Run.'}
        </p>
      )}
      {earlier.length > 0 && (
        <section aria-label="Earlier runs" className="flex flex-col gap-2">
          <h2 className="label-small">Earlier runs</h2>
          <ExecutionList executions={earlier} />
          {executions.data?.length === maxListed && (
            <p className="text-xs text-muted">Among the newest {maxListed} executions.</p>
          )}
        </section>
      )}
    </>
  )
}

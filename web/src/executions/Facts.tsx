import type { ReactNode } from 'react'
import type { Execution } from '../api/types.ts'
import { Fact } from '../ui/Fact.tsx'
import { formatBytes, formatDuration, formatExact } from '../ui/format.ts'
import { TextLink } from '../ui/TextLink.tsx'
import { StatusBadge } from './StatusBadge.tsx'

/** The properties of an execution, without its input and its result. */
export function Facts({ execution }: { execution: Execution }) {
  const { createdAt, startedAt, finishedAt, transcriptExpiresAt, transcriptDeletedAt, usage } = execution
  return (
    <section aria-label="Facts">
      <h2 className="label-small mb-2">Facts</h2>
      <dl className="grid gap-x-8 border-t border-line text-sm sm:grid-cols-2">
        <Fact name="Status">
          <StatusBadge status={execution.status} />
          {execution.waitingFor === 'budget' && <Note>waits: its agent has used up its budget of today</Note>}
          {execution.waitingFor === 'executor' && (
            <Note>waits: no executor can start the runtime {execution.runtime}</Note>
          )}
        </Fact>
        <Fact name="Attempt">{execution.attempt === 0 ? 'none yet' : execution.attempt}</Fact>
        {execution.startFailures && (
          <Fact name="Failed starts">
            {execution.startFailures.count}
            <Note>{execution.startFailures.lastReason}</Note>
          </Fact>
        )}
        <Fact name="Created">{formatExact(createdAt)}</Fact>
        {startedAt && (
          <Fact name="Started">
            {formatExact(startedAt)}
            <Note>waited {between(createdAt, startedAt)}</Note>
          </Fact>
        )}
        {finishedAt && (
          <Fact name="Finished">
            {formatExact(finishedAt)}
            {startedAt && <Note>ran {between(startedAt, finishedAt)}</Note>}
          </Fact>
        )}
        {transcriptExpiresAt && <Fact name="Transcript until">{formatExact(transcriptExpiresAt)}</Fact>}
        {transcriptDeletedAt && <Fact name="Transcript deleted">{formatExact(transcriptDeletedAt)}</Fact>}
        <Fact name="Time-out">{execution.timeout}</Fact>
        <Fact name="Runtime">{[execution.runtime, execution.model].filter(Boolean).join(' · ')}</Fact>
        {execution.agentId !== undefined && (
          <Fact name="Agent">
            <TextLink to={{ page: 'agent', id: execution.agentId }}>{execution.agentId}</TextLink>
            {execution.agentVersion !== undefined && <Note>version {execution.agentVersion}</Note>}
          </Fact>
        )}
        {execution.environment && (
          <Fact name="Environment">
            <TextLink to={{ page: 'environment', id: execution.environment.id }}>
              {execution.environment.id}
            </TextLink>
            <Note>version {execution.environment.version}</Note>
          </Fact>
        )}
        {execution.network && (
          <Fact name="Network">
            {execution.network.hosts.length === 0 && 'not used'}
            {execution.network.hosts.map(({ host, connections, sentBytes, receivedBytes }) => (
              <div key={host}>
                {host || 'further hosts'}
                <Note>
                  {connections.toLocaleString()} {connections === 1 ? 'connection' : 'connections'},{' '}
                  {formatBytes(sentBytes)} sent, {formatBytes(receivedBytes)} received
                </Note>
              </div>
            ))}
            {execution.network.refused.length > 0 && (
              <Note>not reached: {execution.network.refused.join(', ')}</Note>
            )}
          </Fact>
        )}
        <Fact name="Model calls">
          {usage.calls.toLocaleString()}
          {usage.estimatedCalls && (
            <Note>{usage.estimatedCalls.toLocaleString()} ended early; their tokens are estimated</Note>
          )}
        </Fact>
        {usage.modelWait && (
          <Fact name="Waited for the model">
            {usage.modelWait}
            <Note>does not count against the time-out</Note>
          </Fact>
        )}
        <Fact name="Tokens">
          {usage.inputTokens.toLocaleString()} in, {usage.outputTokens.toLocaleString()} out
        </Fact>
        <Fact name="Cost">{usage.costUsd.toFixed(4)} USD</Fact>
        {usage.oomKills && (
          <Fact name="Out of memory">{usage.oomKills.toLocaleString()} processes killed</Fact>
        )}
      </dl>
    </section>
  )
}

function Note({ children }: { children: ReactNode }) {
  return <span className="block text-xs text-muted">{children}</span>
}

function between(from: string, to: string): string {
  return formatDuration(Date.parse(to) - Date.parse(from))
}

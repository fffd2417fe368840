import type { Agent, AgentVersion } from '../api/types.ts'
import { Button } from '../ui/Button.tsx'
import { Disclosure } from '../ui/Disclosure.tsx'
import { ProblemNotice } from '../ui/ProblemNotice.tsx'
import { Timestamp } from '../ui/Timestamp.tsx'
import { changeOf, fieldsOf } from './fields.ts'
import { Instructions } from './Instructions.tsx'
import { useAgentVersion, useAgentVersions, useUpdateAgent } from './queries.ts'
import { SettingsSummary } from './SettingsSummary.tsx'

/** The versions of an agent, the newest first, each with what changed. */
export function Versions({ agent }: { agent: Agent }) {
  return (
    <Disclosure summary={<span className="text-sm text-muted">Version {agent.version}</span>}>
      <VersionList agent={agent} />
    </Disclosure>
  )
}

function VersionList({ agent }: { agent: Agent }) {
  const versions = useAgentVersions(agent.id, agent.version)
  const pages = versions.data?.pages ?? []
  return (
    <>
      {versions.error && <ProblemNotice error={versions.error} onRetry={() => void versions.refetch()} />}
      <ul aria-label="Versions" className="flex flex-col">
        {pages
          .flatMap((page) => page.versions)
          .map((version) => (
            <li key={version.version}>
              <Disclosure summary={<Summary version={version} />}>
                <Version agent={agent} number={version.version} />
              </Disclosure>
            </li>
          ))}
      </ul>
      {versions.hasNextPage && (
        <Button disabled={versions.isFetchingNextPage} onClick={() => void versions.fetchNextPage()}>
          Show older versions
        </Button>
      )}
    </>
  )
}

function Summary({ version: { version, changed, createdAt } }: { version: AgentVersion }) {
  return (
    <span className="flex min-w-0 flex-1 justify-between gap-4 text-sm">
      <span className="text-verbatim">
        {version}: {changed === undefined ? 'created' : `changed ${changed.join(', ')}`}
      </span>
      <span className="text-muted">
        <Timestamp iso={createdAt} />
      </span>
    </span>
  )
}

/** An agent as it was in a version. It can become so again, as a new version. */
function Version({ agent, number }: { agent: Agent; number: number }) {
  const version = useAgentVersion(agent.id, number)
  const update = useUpdateAgent(agent.id)
  if (!version.data) {
    return version.error ? <ProblemNotice error={version.error} /> : <p className="text-muted">Loading…</p>
  }
  const before = version.data
  return (
    <section aria-label={`Version ${number}`} className="flex flex-col gap-2 text-sm">
      <p className="text-verbatim">{[before.name, before.description].filter(Boolean).join(': ')}</p>
      <p className="font-mono text-xs text-muted">
        {[before.runtime, before.model, before.timeout].filter(Boolean).join(' · ')}
      </p>
      <Instructions text={before.instructions} open />
      <SettingsSummary agent={before} />
      {number !== agent.version && (
        <Button
          disabled={update.isPending}
          onClick={() => update.mutate({ ...changeOf(fieldsOf(before), agent), version: agent.version })}
        >
          Restore version {number}
        </Button>
      )}
      {update.error && <ProblemNotice error={update.error} />}
    </section>
  )
}

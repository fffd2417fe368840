import { useId } from 'react'
import type { AgentDraft } from '../api/types.ts'
import { Button } from '../ui/Button.tsx'
import { ProblemNotice } from '../ui/ProblemNotice.tsx'
import { TextLink } from '../ui/TextLink.tsx'
import { Instructions } from './Instructions.tsx'
import { findCreatedAgent, useAgents, useCreateAgent } from './queries.ts'

/** An agent draft that a conversation proposes, with a button that creates the agent. */
export function DraftCard({ draft }: { draft: AgentDraft }) {
  const title = useId()
  const agents = useAgents()
  const create = useCreateAgent()
  const created = create.data ?? findCreatedAgent(draft, agents.data ?? [])
  return (
    <article
      aria-labelledby={title}
      className="max-w-xl overflow-hidden rounded-xl border border-accent/50 bg-surface"
    >
      <div className="flex flex-col gap-2 p-4">
        <p className="label-small">Proposed agent</p>
        <h3 id={title} className="text-verbatim text-lg leading-snug font-semibold">
          {draft.name}
        </h3>
        {draft.description && <p className="text-verbatim text-muted">{draft.description}</p>}
        <Instructions text={draft.instructions} />
        <p className="text-sm text-muted">
          Runtime:{' '}
          {draft.runtime ? (
            <span className="font-mono text-xs text-ink">{draft.runtime}</span>
          ) : (
            'the server’s default'
          )}
          {draft.model && (
            <>
              {' '}
              · Model: <span className="font-mono text-xs text-ink">{draft.model}</span>
            </>
          )}
        </p>
        {create.error && <ProblemNotice error={create.error} />}
      </div>
      <div
        aria-live="polite"
        className="flex min-h-14 items-center gap-3 border-t border-line bg-soft px-4 py-2"
      >
        {created ? (
          <p className="text-sm">
            <span className="font-semibold text-accent">Created.</span>{' '}
            <TextLink to={{ page: 'agent', id: created.id }}>Run it</TextLink>
          </p>
        ) : (
          <Button look="primary" disabled={create.isPending} onClick={() => create.mutate(draft)}>
            {create.isPending ? 'Creating…' : create.error ? 'Try again' : 'Create agent'}
          </Button>
        )}
      </div>
    </article>
  )
}

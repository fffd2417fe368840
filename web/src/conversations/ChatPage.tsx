import { useState } from 'react'
import { NoConversations } from '../agents/NoConversations.tsx'
import { useAgent } from '../agents/queries.ts'
import { ProblemError } from '../api/problem.ts'
import { useAttachments } from '../attachments/useAttachments.ts'
import { Composer } from '../composer/Composer.tsx'
import { PageHeader } from '../ui/PageHeader.tsx'
import { ProblemNotice } from '../ui/ProblemNotice.tsx'
import { TextLink } from '../ui/TextLink.tsx'
import { EmptyConversation } from './EmptyConversation.tsx'
import { OutgoingMessage } from './OutgoingMessage.tsx'
import { useConversation } from './queries.ts'
import { turnsOf } from './turns.ts'
import { TurnView } from './TurnView.tsx'
import { useOutbox, type Outgoing } from './useOutbox.ts'
import { useStickToBottom } from './useStickToBottom.ts'

interface Props {
  /** Undefined for a new conversation. */
  conversationId?: string
  /** The agent of a new conversation; undefined for the agent builder. */
  agentId?: string | undefined
}

export function ChatPage({ conversationId, agentId }: Props) {
  const conversation = useConversation(conversationId)
  const partnerId = agentId ?? conversation.data?.conversation.agentId
  const agent = useAgent(partnerId)
  const outbox = useOutbox({ conversationId, agentId })
  const [text, setText] = useState('')
  const attachments = useAttachments()
  const scroller = useStickToBottom()

  const turns = conversation.data ? turnsOf(conversation.data) : []
  const missing = conversation.error instanceof ProblemError && conversation.error.problem.status === 404
  const isEmpty = conversationId === undefined && outbox.entries.length === 0

  function edit({ key, text, files = [] }: Outgoing) {
    outbox.discard(key)
    setText(text)
    attachments.restore(files)
  }

  return (
    <>
      <PageHeader
        title={
          conversation.data?.conversation.title ?? (conversationId ? 'Conversation' : 'New conversation')
        }
      >
        {partnerId !== undefined && (
          <span className="max-w-1/2 truncate text-sm text-muted">
            with <TextLink to={{ page: 'agent', id: partnerId }}>{agent.data?.name ?? 'an agent'}</TextLink>
          </span>
        )}
      </PageHeader>
      <div ref={scroller} className="relative flex-1 overflow-y-auto px-4">
        {isEmpty && <EmptyConversation agent={agent.data} onPick={setText} />}
        {conversation.isLoading && <p className="mx-auto max-w-3xl py-6 text-muted">Loading…</p>}
        {conversation.error && (
          <div className="mx-auto max-w-3xl py-6">
            <ProblemNotice error={conversation.error} onRetry={() => void conversation.refetch()} />
          </div>
        )}
        <div role="log" aria-label="Messages" className="mx-auto flex max-w-3xl flex-col gap-6 py-6">
          {turns.map((turn) => (
            <TurnView key={turn.executionId} turn={turn} onRetry={outbox.retry} sending={outbox.busy} />
          ))}
          {outbox.entries.map((entry) => (
            <OutgoingMessage
              key={entry.key}
              entry={entry}
              onSendAgain={() => outbox.sendAgain(entry)}
              onEdit={() => edit(entry)}
            />
          ))}
        </div>
      </div>
      {agent.data && !agent.data.conversations && (
        <div className="mx-auto max-w-3xl px-4 pb-3">
          <NoConversations runtime={agent.data.runtime} />
        </div>
      )}
      <div className="px-4 pb-3" hidden={missing || agent.data?.conversations === false}>
        <Composer
          label={agent.data ? `Message to ${agent.data.name}` : 'Message'}
          action="Send"
          text={text}
          onTextChange={setText}
          onSubmit={outbox.send}
          attachments={attachments}
          busy={outbox.busy}
          focusOnMount
        />
      </div>
    </>
  )
}

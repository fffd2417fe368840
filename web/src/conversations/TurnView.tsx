import { CancelButton } from '../executions/CancelButton.tsx'
import { StatusBadge } from '../executions/StatusBadge.tsx'
import { TextLink } from '../ui/TextLink.tsx'
import { TurnReply } from './TurnReply.tsx'
import { UserMessage } from './UserMessage.tsx'
import type { Turn } from './turns.ts'

interface Props {
  turn: Turn
  onRetry: (executionId: string, text: string) => void
  /** A message is being sent, so that none can be sent again. */
  sending: boolean
}

export function TurnView({ turn, onRetry, sending }: Props) {
  const { question, reply, executionId, ahead } = turn
  const sendAgain = question && !sending ? () => onRetry(executionId, question.text) : undefined
  return (
    <>
      {question && <UserMessage text={question.text} files={question.files} />}
      {reply !== undefined || ahead === 0 ? (
        <TurnReply executionId={executionId} reply={reply} onSendAgain={sendAgain} />
      ) : ahead !== undefined ? (
        <PendingTurn executionId={executionId} ahead={ahead} />
      ) : (
        <p className="text-sm text-muted">
          There is no stored reply. <TextLink to={{ page: 'execution', id: executionId }}>Execution</TextLink>
        </p>
      )}
    </>
  )
}

/** A turn behind others. The page does not follow it: only the first turn of a conversation can run. */
function PendingTurn({ executionId, ahead }: { executionId: string; ahead: number }) {
  return (
    <div className="flex flex-wrap items-center gap-3 text-sm">
      <StatusBadge status="queued" />
      <span className="text-muted">
        {ahead === 1 ? 'after the message before it' : `after ${ahead} messages before it`}
      </span>
      <CancelButton executionId={executionId} requested={false} />
    </div>
  )
}

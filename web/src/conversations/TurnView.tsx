import { CancelButton } from '../executions/CancelButton.tsx'
import { StatusLamp } from '../executions/StatusLamp.tsx'
import { TextLink } from '../ui/TextLink.tsx'
import { Answer } from './Answer.tsx'
import { Bubble } from './Bubble.tsx'
import type { Turn } from './turns.ts'

interface Props {
  turn: Turn
  onRepeat: (executionId: string, text: string) => void
  /** A message is on its way: sending again waits. */
  sending: boolean
}

export function TurnView({ turn, onRepeat, sending }: Props) {
  const { question, reply, executionId, ahead } = turn
  const sendAgain = question && !sending ? () => onRepeat(executionId, question.text) : undefined
  return (
    <>
      {question && <Bubble text={question.text} />}
      {reply !== undefined || ahead === 0 ? (
        <Answer executionId={executionId} reply={reply} onSendAgain={sendAgain} />
      ) : ahead !== undefined ? (
        <Waiting executionId={executionId} ahead={ahead} />
      ) : (
        <p className="text-sm text-muted">
          No reply was stored. <TextLink to={{ page: 'execution', id: executionId }}>Its execution</TextLink>
        </p>
      )}
    </>
  )
}

/** A turn behind others. It is not looked at: only the first of a conversation can run. */
function Waiting({ executionId, ahead }: { executionId: string; ahead: number }) {
  return (
    <div className="flex flex-wrap items-center gap-3 text-sm">
      <StatusLamp status="queued" />
      <span className="text-muted">
        {ahead === 1 ? 'after the message before it' : `after ${ahead} messages before it`}
      </span>
      <CancelButton executionId={executionId} requested={false} />
    </div>
  )
}

import type { Execution } from '../api/types.ts'
import { Progress } from '../executions/Progress.tsx'
import { isFinished } from '../executions/status.ts'
import { useExecution } from '../executions/useExecution.ts'
import { ProblemNotice } from '../ui/ProblemNotice.tsx'
import { Reply, type ReplyContent } from './Reply.tsx'

interface Props {
  executionId: string
  /** The stored reply; undefined while the conversation shows none. */
  reply: ReplyContent | undefined
  onSendAgain: (() => void) | undefined
}

/**
 * The reply of a turn, or its progress. Shows the result of a finished execution before the conversation is read
 * again, in the same element: a screen reader would read a second element a second time.
 */
export function TurnReply({ executionId, reply, onSendAgain }: Props) {
  const { execution, connectionError, error } = useExecution(executionId, reply === undefined)
  const content = reply ?? replyOf(execution)
  if (content) {
    return <Reply content={content} executionId={executionId} onSendAgain={onSendAgain} />
  }
  if (error) {
    return <ProblemNotice error={error} />
  }
  return <Progress executionId={executionId} execution={execution} connectionError={connectionError} />
}

function replyOf(execution: Execution | undefined): ReplyContent | undefined {
  if (!execution || !isFinished(execution.status)) {
    return undefined
  }
  return {
    text: execution.result?.text ?? '',
    truncated: execution.result?.truncated,
    agentDraft: execution.result?.agentDraft,
    error: execution.error,
  }
}

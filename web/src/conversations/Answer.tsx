import type { Execution } from '../api/types.ts'
import { Progress } from '../executions/Progress.tsx'
import { hasEnded } from '../executions/status.ts'
import { useExecution } from '../executions/useExecution.ts'
import { ProblemNotice } from '../ui/ProblemNotice.tsx'
import { Reply, type Said } from './Reply.tsx'

interface Props {
  executionId: string
  /** The stored reply; undefined while the execution has not ended, as far as the conversation was read. */
  reply: Said | undefined
  onSendAgain: (() => void) | undefined
}

/**
 * The reply to a turn, or its progress. The end of the execution shows before the conversation is read anew, and
 * in the same place: a reply that appeared twice would be read out twice.
 */
export function Answer({ executionId, reply, onSendAgain }: Props) {
  const { execution, lost, error } = useExecution(executionId, reply === undefined)
  const said = reply ?? saidBy(execution)
  if (said) {
    return <Reply said={said} executionId={executionId} onSendAgain={onSendAgain} />
  }
  if (error) {
    return <ProblemNotice error={error} />
  }
  return <Progress executionId={executionId} execution={execution} lost={lost} />
}

function saidBy(execution: Execution | undefined): Said | undefined {
  if (!execution || !hasEnded(execution.status)) {
    return undefined
  }
  return {
    text: execution.result?.text ?? '',
    truncated: execution.result?.truncated,
    agentDraft: execution.result?.agentDraft,
    error: execution.error,
  }
}

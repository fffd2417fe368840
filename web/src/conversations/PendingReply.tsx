import { Progress } from '../executions/Progress.tsx'
import { hasEnded } from '../executions/status.ts'
import { useExecution } from '../executions/useExecution.ts'
import { ProblemNotice } from '../ui/ProblemNotice.tsx'
import { Reply } from './Reply.tsx'

interface Props {
  executionId: string
  onSendAgain: (() => void) | undefined
}

/** The place of a reply that has not come yet; its end shows at once, before the conversation is read anew. */
export function PendingReply({ executionId, onSendAgain }: Props) {
  const { execution, lost, error } = useExecution(executionId)
  if (error) {
    return <ProblemNotice error={error} />
  }
  if (execution && hasEnded(execution.status)) {
    return (
      <Reply
        text={execution.result?.text ?? ''}
        draft={execution.result?.agentDraft}
        failure={execution.error}
        executionId={executionId}
        onSendAgain={onSendAgain}
      />
    )
  }
  return <Progress executionId={executionId} execution={execution} lost={lost} />
}

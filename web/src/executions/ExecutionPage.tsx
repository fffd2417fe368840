import { useRef } from 'react'
import type { Execution } from '../api/types.ts'
import { Transcript } from '../transcript/Transcript.tsx'
import { useTranscript, type FollowedTranscript } from '../transcript/useTranscript.ts'
import { Button } from '../ui/Button.tsx'
import { PageHeader } from '../ui/PageHeader.tsx'
import { ProblemNotice } from '../ui/ProblemNotice.tsx'
import { TextLink } from '../ui/TextLink.tsx'
import { Attempts } from './Attempts.tsx'
import { Facts } from './Facts.tsx'
import { FailureNotice } from './FailureNotice.tsx'
import { Files } from './Files.tsx'
import { Progress } from './Progress.tsx'
import { ReceiptView } from './ReceiptView.tsx'
import { ResultView } from './ResultView.tsx'
import { RetryButton } from './RetryButton.tsx'
import { isFinished } from './status.ts'
import { useExecution } from './useExecution.ts'

export function ExecutionPage({ id }: { id: string }) {
  const { execution, connectionError, error } = useExecution(id)
  const transcript = useTranscript(id, execution)
  const section = useRef<HTMLElement>(null)
  const jump = () => {
    section.current?.scrollIntoView()
    section.current?.focus({ preventScroll: true })
  }
  return (
    <>
      <PageHeader kind="Execution" title={id}>
        {transcript.items.length > 0 && <Button onClick={jump}>Transcript</Button>}
      </PageHeader>
      <div className="relative flex-1 overflow-y-auto px-4 py-6">
        <div className="mx-auto flex max-w-3xl flex-col gap-6">
          {error && <ProblemNotice error={error} />}
          {!execution && !error && <p className="text-muted">{connectionError?.message ?? 'Loading…'}</p>}
          {execution && (
            <>
              <Detail execution={execution} connectionError={connectionError} transcript={transcript} />
              <Transcript ref={section} executionId={id} transcript={transcript} />
            </>
          )}
        </div>
      </div>
    </>
  )
}

interface DetailProps {
  execution: Execution
  connectionError: Error | undefined
  transcript: FollowedTranscript
}

function Detail({ execution, connectionError, transcript }: DetailProps) {
  const noTranscript =
    transcript.items.length === 0 &&
    (transcript.complete || transcript.error !== undefined || transcript.deleted !== undefined)
  return (
    <>
      <div aria-live="polite" className="flex flex-col gap-4">
        {!isFinished(execution.status) && (
          <Progress executionId={execution.id} execution={execution} connectionError={connectionError} />
        )}
        {execution.error && (
          <FailureNotice failure={execution.error}>
            <RetryButton executionId={execution.id} />
          </FailureNotice>
        )}
        {execution.partialText && noTranscript && (
          <section aria-label="What the agent had said" className="flex flex-col gap-2">
            <h2 className="label-small">What the agent had said</h2>
            <p dir="auto" className="text-verbatim max-h-80 overflow-y-auto rounded-lg bg-sunken p-3">
              {execution.partialText}
            </p>
          </section>
        )}
        {execution.result && (
          <section aria-label="Result" className="flex flex-col gap-2">
            <h2 className="label-small">Result</h2>
            <ResultView result={execution.result} executionId={execution.id} />
          </section>
        )}
      </div>
      <section aria-label="Input" className="flex flex-col gap-2">
        <h2 className="label-small">Input</h2>
        <p dir="auto" className="text-verbatim max-h-80 overflow-y-auto rounded-lg bg-sunken p-3">
          {execution.input}
        </p>
      </section>
      <Files execution={execution} />
      <Facts execution={execution} />
      <Attempts execution={execution} />
      {execution.receipt && <ReceiptView id={execution.id} receipt={execution.receipt} />}
      <p className="flex flex-wrap gap-4 text-sm">
        {execution.conversationId && (
          <TextLink to={{ page: 'conversation', id: execution.conversationId }}>Conversation</TextLink>
        )}
        {execution.agentId && <TextLink to={{ page: 'agent', id: execution.agentId }}>Agent</TextLink>}
        {execution.retryOf && (
          <TextLink to={{ page: 'execution', id: execution.retryOf }}>Original execution</TextLink>
        )}
      </p>
    </>
  )
}

import type { Execution } from '../api/types.ts'
import { FileChips } from '../attachments/FileChips.tsx'
import type { AttachedFile } from '../attachments/useAttachments.ts'
import { Button } from '../ui/Button.tsx'
import { ProblemNotice } from '../ui/ProblemNotice.tsx'
import { TextLink } from '../ui/TextLink.tsx'
import { FailureNotice } from './FailureNotice.tsx'
import { Progress } from './Progress.tsx'
import { ResultView } from './ResultView.tsx'
import { isFinished } from './status.ts'
import { StatusBadge } from './StatusBadge.tsx'
import { useExecution } from './useExecution.ts'

interface Props {
  executionId: string
  /** Runs the same input with the same uploaded files again; undefined while another run is being started. */
  onRunAgain: ((input: string, files: AttachedFile[]) => void) | undefined
}

/** A run: its input, and its progress or its result. */
export function RunCard({ executionId, onRunAgain }: Props) {
  const { execution, connectionError, error } = useExecution(executionId)
  const finished = execution !== undefined && isFinished(execution.status)
  return (
    <section aria-label="Newest run" className="flex flex-col gap-3 rounded-xl border border-line p-4">
      <div className="flex flex-wrap items-center justify-between gap-3 text-sm">
        {finished ? <StatusBadge status={execution.status} /> : <h2 className="label-small">Newest run</h2>}
        <TextLink to={{ page: 'execution', id: executionId }}>Details</TextLink>
      </div>
      {execution && (
        <p dir="auto" className="text-verbatim max-h-40 overflow-y-auto rounded-lg bg-soft px-3 py-2 text-sm">
          {execution.input}
        </p>
      )}
      <FileChips files={execution?.inputFiles} />
      <div aria-live="polite" className="flex flex-col gap-3">
        {!finished && !error && (
          <Progress executionId={executionId} execution={execution} connectionError={connectionError} />
        )}
        {execution?.error && (
          <FailureNotice failure={execution.error}>
            <Button
              disabled={!onRunAgain}
              onClick={() => onRunAgain?.(execution.input, uploadedFilesOf(execution))}
            >
              Run again
            </Button>
          </FailureNotice>
        )}
        {execution?.result && <ResultView result={execution.result} executionId={executionId} />}
      </div>
      {error && <ProblemNotice error={error} />}
    </section>
  )
}

function uploadedFilesOf({ inputFiles = [] }: Execution): AttachedFile[] {
  return inputFiles.flatMap(({ path, size, fileId }) =>
    fileId === undefined ? [] : [{ path, size, fileId }],
  )
}

import { useMemo, type Ref } from 'react'
import { downloadTranscript } from '../executions/downloads.ts'
import { Button } from '../ui/Button.tsx'
import { DownloadButton } from '../ui/DownloadButton.tsx'
import { ProblemNotice } from '../ui/ProblemNotice.tsx'
import { Entries } from './Entries.tsx'
import { entriesOf, type AttemptEntries } from './grouping.ts'
import type { FollowedTranscript } from './useTranscript.ts'

interface Props {
  ref: Ref<HTMLElement>
  executionId: string
  transcript: FollowedTranscript
}

/** All that the agent of an execution said and did. Shows nothing for an execution that has no transcript. */
export function Transcript({ ref, executionId, transcript }: Props) {
  const { items, complete, interrupted, error, deleted } = transcript
  const attempts = useMemo(() => entriesOf(items), [items])
  if (items.length === 0 && !error && deleted === undefined) {
    return null
  }
  const several = attempts.length > 1 || (attempts[0]?.number ?? 1) > 1
  return (
    <section
      ref={ref}
      aria-label="Transcript"
      tabIndex={-1}
      className="scroll-mt-4 focus-visible:outline-none"
    >
      <div className="mb-2 flex flex-wrap items-center justify-between gap-3">
        <h2 className="label-small">Transcript</h2>
        {items.length > 0 && deleted === undefined && (
          <DownloadButton
            name={`${executionId}.transcript.jsonl`}
            label="the whole transcript"
            fetch={() => downloadTranscript(executionId)}
          />
        )}
      </div>
      {deleted !== undefined && <p className="border-t border-line py-2 text-sm text-muted">{deleted}</p>}
      <Earlier transcript={transcript} />
      <div className="flex flex-col gap-6 border-t border-line pt-2">
        {attempts.map((attempt, i) => (
          <AttemptView
            key={attempt.number}
            attempt={attempt}
            titled={several}
            ended={complete || i < attempts.length - 1}
          />
        ))}
      </div>
      {interrupted && (
        <p className="mt-2 text-sm text-muted">The connection is interrupted. The page keeps trying.</p>
      )}
      {error && <ProblemNotice error={error} />}
    </section>
  )
}

/** Shows older items, or says where they are. */
function Earlier({ transcript }: { transcript: FollowedTranscript }) {
  const { items, earlier, showEarlier, loadingEarlier, earlierError } = transcript
  if (earlier === 'none') {
    return null
  }
  return (
    <div className="flex flex-wrap items-center gap-3 border-t border-line py-2 text-sm text-muted">
      These are the newest {items.length.toLocaleString()} items.
      {earlier === 'download' ? (
        ' The page shows no more; download the transcript for the earlier ones.'
      ) : (
        <Button disabled={loadingEarlier} onClick={showEarlier}>
          {loadingEarlier ? 'Loading…' : 'Show earlier items'}
        </Button>
      )}
      {earlierError && (
        <span role="alert" className="text-danger">
          {earlierError.message}
        </span>
      )}
    </div>
  )
}

interface AttemptProps {
  attempt: AttemptEntries
  titled: boolean
  /** Nothing will be added to it. */
  ended: boolean
}

function AttemptView({ attempt: { number, entries, end }, titled, ended }: AttemptProps) {
  const running = !ended && !end
  return (
    <div>
      {titled && <h3 className="mb-1 text-sm font-semibold">Attempt {number}</h3>}
      <div className="-mx-2">
        <Entries label={`Attempt ${number}`} entries={entries} running={running} />
      </div>
      {!running && (
        <p className="text-verbatim mt-1 border-t border-line pt-2 text-sm text-muted">
          {end ? `Ended: ${end.text ?? ''}` : 'No end is recorded: the attempt lost its executor.'}
        </p>
      )}
    </div>
  )
}

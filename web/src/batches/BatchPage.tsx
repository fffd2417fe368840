import type { Batch } from '../api/types.ts'
import { navigate } from '../route/route.ts'
import { Button } from '../ui/Button.tsx'
import { DownloadButton } from '../ui/DownloadButton.tsx'
import { Fact } from '../ui/Fact.tsx'
import { formatExact } from '../ui/format.ts'
import { PageHeader } from '../ui/PageHeader.tsx'
import { ProblemNotice } from '../ui/ProblemNotice.tsx'
import { TextLink } from '../ui/TextLink.tsx'
import { batchLabel, downloadResults, useBatch, useCancelBatch, useRetryBatch } from './queries.ts'

export function BatchPage({ id }: { id: string }) {
  const batch = useBatch(id)
  return (
    <>
      <PageHeader kind="Batch" title={id} />
      <div className="relative flex-1 overflow-y-auto px-4 py-6">
        <div className="mx-auto flex max-w-3xl flex-col gap-6">
          {batch.isPending && <p className="text-muted">Loading…</p>}
          {batch.error && <ProblemNotice error={batch.error} onRetry={() => void batch.refetch()} />}
          {batch.data && <Detail batch={batch.data} />}
        </div>
      </div>
    </>
  )
}

function Detail({ batch }: { batch: Batch }) {
  const { progress } = batch
  const failed = progress ? progress.failed + progress.timedOut : 0
  return (
    <>
      <ProgressBar batch={batch} />
      <div className="flex flex-wrap items-center gap-3">
        <DownloadButton
          name={`${batch.id}.jsonl`}
          label="the results"
          text="Download the results"
          fetch={() => downloadResults(batch.id)}
        />
        {batch.status !== 'finished' && <Cancel batch={batch} />}
        {batch.status === 'finished' && failed > 0 && <Retry id={batch.id} failed={failed} />}
      </div>
      <dl className="grid gap-x-8 border-t border-line text-sm sm:grid-cols-2">
        <Fact name="Status">{batchLabel[batch.status]}</Fact>
        <Fact name="Created">{formatExact(batch.createdAt)}</Fact>
        {batch.finishedAt && <Fact name="Finished">{formatExact(batch.finishedAt)}</Fact>}
        {progress && (
          <>
            <Fact name="Waiting">{(progress.pending + progress.queued).toLocaleString()}</Fact>
            <Fact name="Running">{progress.running.toLocaleString()}</Fact>
            <Fact name="Succeeded">{progress.succeeded.toLocaleString()}</Fact>
            <Fact name="Failed">{progress.failed.toLocaleString()}</Fact>
            <Fact name="Timed out">{progress.timedOut.toLocaleString()}</Fact>
            <Fact name="Canceled">{progress.canceled.toLocaleString()}</Fact>
            {progress.missing > 0 && <Fact name="Missing">{progress.missing.toLocaleString()}</Fact>}
            <Fact name="Cost">{progress.costUsd.toFixed(4)} USD</Fact>
            {progress.eta && <Fact name="Estimated time left">{progress.eta}</Fact>}
          </>
        )}
      </dl>
      <p className="flex flex-wrap gap-4 text-sm">
        <TextLink to={{ page: 'agent', id: batch.agentId }}>Agent</TextLink>
        {batch.retryOf && <TextLink to={{ page: 'batch', id: batch.retryOf }}>Original batch</TextLink>}
      </p>
    </>
  )
}

function ProgressBar({ batch: { progress, total } }: { batch: Batch }) {
  if (!progress) {
    return null
  }
  const finished =
    progress.succeeded + progress.failed + progress.timedOut + progress.canceled + progress.missing
  return (
    <div>
      <p className="mb-1 flex justify-between text-sm tabular-nums" aria-live="polite">
        <span>
          {finished.toLocaleString()} of {total.toLocaleString()} finished
        </span>
        <span className="text-muted">{Math.floor((100 * finished) / Math.max(total, 1))} %</span>
      </p>
      <progress
        aria-label="Finished inputs"
        max={total}
        value={finished}
        className="progress-bar h-2.5 w-full"
      />
    </div>
  )
}

function Cancel({ batch }: { batch: Batch }) {
  const cancel = useCancelBatch(batch.id)
  const canceling = cancel.isPending || batch.status === 'canceling'
  return (
    <>
      <Button disabled={canceling} onClick={() => cancel.mutate()}>
        {canceling ? 'Canceling…' : 'Cancel unfinished inputs'}
      </Button>
      {cancel.error && <ProblemNotice error={cancel.error} />}
    </>
  )
}

function Retry({ id, failed }: { id: string; failed: number }) {
  const retry = useRetryBatch(id)
  return (
    <>
      <Button
        disabled={retry.isPending}
        onClick={() => retry.mutate(undefined, { onSuccess: ({ id }) => navigate({ page: 'batch', id }) })}
      >
        {retry.isPending
          ? 'Starting…'
          : `Retry ${failed.toLocaleString()} failed ${failed === 1 ? 'input' : 'inputs'}`}
      </Button>
      {retry.error && <ProblemNotice error={retry.error} />}
    </>
  )
}

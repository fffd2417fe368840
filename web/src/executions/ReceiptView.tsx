import { DownloadButton } from '../ui/DownloadButton.tsx'
import { Fact } from '../ui/Fact.tsx'
import { readReceipt } from './receipt.ts'

/** The receipt: how the job was isolated. The page does not verify the signature; the reader's own program must. */
export function ReceiptView({ id, receipt }: { id: string; receipt: Record<string, unknown> }) {
  const { executor, container, image, runtime, network, calls, denied, keyId } = readReceipt(receipt)
  const name = `${id}.receipt.json`
  return (
    <section aria-label="Receipt">
      <div className="mb-2 flex flex-wrap items-center justify-between gap-3">
        <h2 className="label-small">Receipt</h2>
        <DownloadButton
          name={name}
          label="the receipt"
          fetch={() => new Response(JSON.stringify(receipt)).blob()}
        />
      </div>
      <dl className="grid gap-x-8 border-t border-line text-sm sm:grid-cols-2">
        <Fact name="Signed">{keyId === undefined ? 'no: the server has no key' : `with key ${keyId}`}</Fact>
        <Fact name="Executor">{executor}</Fact>
        {container && <Fact name="Container">{container}</Fact>}
        {image && <Fact name="Image">{image}</Fact>}
        {runtime && <Fact name="Container runtime">{runtime}</Fact>}
        {network && <Fact name="Container network">{network}</Fact>}
        <Fact name="Gateway calls">
          {calls.toLocaleString()} allowed, {denied.toLocaleString()} denied
        </Fact>
      </dl>
      {keyId !== undefined && (
        <p className="mt-2 text-sm text-muted">
          Check it with{' '}
          <code className="font-mono text-xs break-all">airlock receipt verify --key receipt.pub {name}</code>
        </p>
      )}
    </section>
  )
}

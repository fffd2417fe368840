import { screen, waitFor, within } from '@testing-library/react'
import { expect, test } from 'vitest'
import { problem } from '../../dev/responses.ts'
import { StandIn } from '../../dev/standin.ts'
import { isPost, post, visit } from '../test/visit.tsx'

const csv = () => new File(['a,b'], 'in.csv', { type: 'text/csv' })
const picker = () => screen.findByLabelText('Files to attach')
const attached = () => screen.queryByRole('list', { name: 'Attached files' })

async function bodyOf(requests: Request[], path: string): Promise<unknown> {
  const request = requests.find((request) => isPost(request, path))
  return request?.clone().json()
}

test('a message is sent with files, which are uploaded while the user writes', async () => {
  let finishUpload: (value: undefined) => void = () => undefined
  const uploading = new Promise<undefined>((resolve) => (finishUpload = resolve))
  const { user, requests, server } = visit('#/new', undefined, async (request) => {
    if (isPost(request, '/files')) {
      await uploading
    }
    return undefined
  })
  await user.upload(await picker(), [csv(), csv()])
  expect(screen.getByRole('progressbar', { name: 'Upload of in.csv' })).toHaveAttribute('value', '0.5')
  await user.type(screen.getByRole('textbox', { name: 'Message' }), 'Read them')
  expect(screen.getByRole('button', { name: 'Send' })).toBeDisabled()
  finishUpload(undefined)
  await waitFor(() => expect(screen.getByRole('button', { name: 'Send' })).toBeEnabled())
  await user.click(screen.getByRole('button', { name: 'Send' }))

  const files = await screen.findByRole('list', { name: 'Files' })
  expect(files).toHaveTextContent('in.csv 3 bytes')
  expect(files).toHaveTextContent('in (2).csv 3 bytes')
  expect(attached()).toBeNull()
  const upload = requests.find((request) => isPost(request, '/files'))
  expect(upload?.headers.get('Content-Type')).toBe('text/csv')
  expect(new URL(upload?.url ?? '').searchParams.get('name')).toBe('in.csv')
  const [first, second] = [...server.files.keys()]
  expect(await bodyOf(requests, '/api/conversation')).toEqual({
    message: 'Read them',
    files: [
      { path: 'in.csv', fileId: first },
      { path: 'in (2).csv', fileId: second },
    ],
  })
})

test('a run has its files, also when it runs again', async () => {
  const server = new StandIn()
  const { id } = await post(server, '/agents', { name: 'Reader', instructions: 'Read' })
  server.onAccept = (execution) =>
    server.finish(execution.id, { status: 'failed', error: { code: 'agent_error', message: 'It failed.' } })
  const { user, requests } = visit(`#/a/${id}`, server)
  await user.upload(await picker(), csv())
  await user.type(screen.getByRole('textbox', { name: 'Input for one run' }), 'Go')
  await waitFor(() => expect(screen.getByRole('button', { name: 'Run' })).toBeEnabled())
  await user.click(screen.getByRole('button', { name: 'Run' }))
  const card = await screen.findByRole('region', { name: 'Newest run' })
  expect(await within(card).findByRole('list', { name: 'Files' })).toHaveTextContent('in.csv 3 bytes')
  await user.click(await within(card).findByRole('button', { name: 'Run again' }))
  const path = `/agents/${id}/run`
  await waitFor(() => expect(requests.filter((request) => isPost(request, path))).toHaveLength(2))
  const [fileId] = [...server.files.keys()]
  for (const request of requests.filter((request) => isPost(request, path))) {
    expect(await request.clone().json()).toEqual({ input: 'Go', files: [{ path: 'in.csv', fileId }] })
  }
})

test('a file that cannot be uploaded says why, and can be removed or sent again', async () => {
  const { user, intercept, server } = visit('#/new', undefined, (request) =>
    isPost(request, '/files')
      ? problem({ title: 'Unavailable', status: 503, code: 'unavailable', detail: 'Too many uploads.' })
      : undefined,
  )
  const large = Object.defineProperty(new File([], 'large.bin'), 'size', { value: 101 * 1024 * 1024 })
  await user.upload(await picker(), [csv(), large])
  const list = screen.getByRole('list', { name: 'Attached files' })
  expect(list).toHaveTextContent('It has 101.0 MiB; a file can have 100.0 MiB.')
  await waitFor(() => expect(list).toHaveTextContent('Too many uploads.'))
  await user.type(screen.getByRole('textbox', { name: 'Message' }), 'x')
  expect(screen.getByRole('button', { name: 'Send' })).toBeDisabled()

  intercept(() => undefined)
  expect(screen.queryByRole('button', { name: 'Upload large.bin again' })).toBeNull()
  await user.click(screen.getByRole('button', { name: 'Remove large.bin' }))
  await user.click(screen.getByRole('button', { name: 'Upload in.csv again' }))
  await waitFor(() => expect(screen.getByRole('button', { name: 'Send' })).toBeEnabled())
  expect(server.files.size).toBe(1)
  await user.click(screen.getByRole('button', { name: 'Remove in.csv' }))
  await waitFor(() => expect(server.files.size).toBe(0))
  expect(attached()).toBeNull()
})

import { fireEvent, screen, waitFor, within } from '@testing-library/react'
import { describe, expect, test } from 'vitest'
import { problem } from '../../dev/responses.ts'
import { StandIn } from '../../dev/standin.ts'
import { isPost, post, visit } from '../test/visit.tsx'

const input = () => screen.findByRole('textbox', { name: 'Message' })
const log = () => screen.getByRole('log', { name: 'Messages' })

function newestExecution(server: StandIn) {
  return [...server.executions.keys()].at(-1) ?? ''
}

describe('sending a message', () => {
  test('shows it immediately, then queued, then running, then the reply', async () => {
    const { user, server, intercept } = visit('#/')
    let release: () => void = () => undefined
    const gate = new Promise<undefined>((resolve) => {
      release = () => resolve(undefined)
    })
    intercept((request) => (isPost(request, '/api/conversation') ? gate : undefined))

    await user.type(await input(), 'Hello there{Enter}')
    expect(within(log()).getByText('Hello there')).toBeVisible()
    expect(within(log()).getByText('Sending…')).toBeVisible()
    expect(await input()).toHaveValue('')

    release()
    expect(await screen.findByText('Queued')).toBeVisible()
    const id = newestExecution(server)
    server.start(id)
    expect(await within(log()).findByText('Running')).toBeVisible()
    server.finish(id, { result: { text: 'Good day.\nHow are you?' } })
    const reply = await within(log()).findByText(/Good day\.\s+How are you\?/)
    expect(within(log()).getAllByText('Hello there')).toHaveLength(1)
    expect(reply).toHaveClass('text-verbatim')
    expect(within(log()).queryByText('Running')).not.toBeInTheDocument()
  })

  test('starts a conversation with its own address, which a reload shows again', async () => {
    const { user, server, unmount } = visit('#/')
    await user.type(await input(), '안녕하세요{Enter}')
    await waitFor(() => expect(window.location.hash).toBe('#/c/con_0001'))
    await waitFor(() => expect(server.executions.size).toBe(1))
    server.finish(newestExecution(server), { result: { text: '반갑습니다' } })
    expect(await screen.findByText('반갑습니다')).toBeVisible()

    unmount()
    visit('#/c/con_0001', server)
    expect(await screen.findByText('반갑습니다')).toBeVisible()
    expect(screen.getByRole('heading', { level: 1, name: '안녕하세요' })).toBeVisible()
  })

  test('Shift+Enter makes a new line, and an Enter that completes a syllable does not send', async () => {
    const { user, server } = visit('#/')
    const box = await input()
    await user.type(box, 'one{Shift>}{Enter}{/Shift}two')
    expect(box).toHaveValue('one\ntwo')
    fireEvent.keyDown(box, { key: 'Enter', isComposing: true })
    expect(server.executions.size).toBe(0)
    await user.keyboard('{Enter}')
    await waitFor(() => expect([...server.executions.values()].map((e) => e.input)).toEqual(['one\ntwo']))
  })

  test('sends neither a blank nor a too long message, and shows by how much it is too long', async () => {
    const { user, server } = visit('#/')
    const box = await input()
    const send = screen.getByRole('button', { name: 'Send' })
    await user.type(box, '  {Enter}')
    expect(send).toBeDisabled()
    fireEvent.change(box, { target: { value: '가'.repeat(90_000) } })
    expect(screen.getByText('Too long by 7,856 bytes: at most 256 KiB can be sent.')).toBeVisible()
    expect(box).toBeInvalid()
    expect(send).toBeDisabled()
    fireEvent.keyDown(box, { key: 'Enter' })
    expect(server.executions.size).toBe(0)
  })

  test('keeps a rejected message with the reason, and sends it again with the same key', async () => {
    const { user, server, intercept, requests } = visit('#/')
    let rejections = 1
    intercept((request) =>
      isPost(request, '/api/conversation') && rejections-- > 0
        ? problem({
            ...{
              status: 422,
              title: 'Unprocessable',
              code: 'prompt_denied',
              detail: 'The message is denied.',
            },
            errors: [{ field: 'message', detail: 'matches rule no-keys' }],
          })
        : undefined,
    )
    await user.type(await input(), 'my key is{Enter}')
    const alert = await screen.findByRole('alert')
    expect(alert).toHaveTextContent('The message is denied.')
    expect(alert).toHaveTextContent('message: matches rule no-keys')
    expect(alert).toHaveTextContent('prompt_denied')

    await user.click(within(alert).getByRole('button', { name: 'Send again' }))
    await waitFor(() => expect(server.executions.size).toBe(1))
    const posts = requests.filter((request) => request.method === 'POST')
    const sentKeys = new Set(posts.map((request) => request.headers.get('Idempotency-Key')))
    expect(posts).toHaveLength(2)
    expect(sentKeys.size).toBe(1)
  })

  test('restores a message that could not be sent for editing', async () => {
    const { user, intercept } = visit('#/')
    intercept((request) => {
      if (isPost(request, '/api/conversation')) {
        throw new TypeError('Failed to fetch')
      }
      return undefined
    })
    await user.type(await input(), 'unsent words{Enter}')
    expect(await screen.findByRole('alert')).toHaveTextContent('The server cannot be reached.')
    await user.click(screen.getByRole('button', { name: 'Edit' }))
    expect(await input()).toHaveValue('unsent words')
    expect(within(log()).queryByText('unsent words')).not.toBeInTheDocument()
  })
})

describe('a turn', () => {
  async function withConversation(...messages: string[]) {
    const server = new StandIn()
    let id: string | undefined
    for (const message of messages) {
      const sent = await post(server, '/api/conversation', { message, ...(id && { conversationId: id }) })
      id = sent['conversationId']
    }
    return { server, hash: `#/c/${id ?? ''}` }
  }

  test('that failed shows the reason and can be sent again', async () => {
    const { server, hash } = await withConversation('do it')
    const { user, requests, intercept } = visit(hash, server)
    await within(log()).findByText('Queued')
    const failed = newestExecution(server)
    server.finish(failed, {
      status: 'failed',
      error: { code: 'out_of_memory', message: 'The agent used more memory than it has.' },
    })
    expect(await screen.findByText('The agent used more memory than it has.')).toBeVisible()
    expect(screen.getByText('out_of_memory')).toBeVisible()

    let rejections = 1
    intercept((request) =>
      isPost(request, `/executions/${failed}/retry`) && rejections-- > 0
        ? problem({ status: 503, title: 'Unavailable', code: 'unavailable', detail: 'Try in a moment.' })
        : undefined,
    )
    await user.click(screen.getByRole('button', { name: 'Send again' }))
    const alert = (await screen.findByText('Try in a moment.')).closest<HTMLElement>('[role=alert]')
    await user.click(within(alert ?? log()).getByRole('button', { name: 'Send again' }))
    await waitFor(() => expect(server.executions.size).toBe(2))
    expect(server.executions.get(newestExecution(server))?.retryOf).toBe(failed)
    const retries = requests.filter(({ url }) => url.endsWith(`/executions/${failed}/retry`))
    expect(new Set(retries.map(({ headers }) => headers.get('Idempotency-Key'))).size).toBe(1)
    expect(retries).toHaveLength(2)

    server.finish(newestExecution(server), { result: { text: 'done this time' } })
    expect(await screen.findByText('done this time')).toBeVisible()
    expect(within(log()).getAllByText('do it')).toHaveLength(2)
  })

  test('can be canceled', async () => {
    const { server, hash } = await withConversation('take your time')
    const { user } = visit(hash, server)
    await user.click(await screen.findByRole('button', { name: 'Cancel' }))
    expect(await screen.findByText('Canceled on request.')).toBeVisible()
    expect([...server.executions.values()][0]?.status).toBe('canceled')
  })

  test('behind another is not followed until it is the first', async () => {
    const { server, hash } = await withConversation('first', 'second')
    const { requests } = visit(hash, server)
    expect(await screen.findByText('after the message before it')).toBeVisible()
    const [first, second] = [...server.executions.keys()]
    const readsOfSecond = () => requests.filter(({ url }) => url.includes(`/executions/${second ?? ''}`))
    expect(readsOfSecond()).toHaveLength(0)

    server.finish(first ?? '', { result: { text: 'reply to the first' } })
    expect(await screen.findByText('reply to the first')).toBeVisible()
    await waitFor(() => expect(readsOfSecond()).not.toHaveLength(0))
    expect(screen.queryByText('after the message before it')).not.toBeInTheDocument()
  })

  test('survives an unreachable server, and reports it meanwhile', async () => {
    const { server, hash } = await withConversation('hold on')
    const { intercept } = visit(hash, server)
    intercept(({ url }) => {
      if (url.includes('/executions/')) {
        throw new TypeError('Failed to fetch')
      }
      return undefined
    })
    expect(await screen.findByText(/cannot be reached.*the page keeps trying/)).toBeVisible()
    server.finish(newestExecution(server), { result: { text: 'still here' } })
    intercept(() => undefined)
    window.dispatchEvent(new Event('online'))
    expect(await screen.findByText('still here')).toBeVisible()
    expect(screen.queryByText(/cannot be reached/)).not.toBeInTheDocument()
  })

  test('shows hostile markup as text', async () => {
    const { server, hash } = await withConversation('<b>mine</b>')
    const evil = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>[x](javascript:alert(1))'
    server.finish(newestExecution(server), { result: { text: evil } })
    visit(hash, server)
    expect(await screen.findByText(evil)).toBeVisible()
    expect(within(log()).getByText('<b>mine</b>')).toBeVisible()
    expect(document.querySelector('main :is(img, script, b, [href^="javascript:"])')).toBeNull()
    expect(window).not.toHaveProperty('pwned')
  })

  test('of an unknown conversation shows an error and no input', async () => {
    visit('#/c/con_none')
    expect(await screen.findByRole('alert')).toHaveTextContent('There is nothing here by that name.')
    expect(screen.queryByRole('textbox')).not.toBeInTheDocument()
    expect(screen.queryByRole('button', { name: 'Try again' })).not.toBeInTheDocument()
  })
})

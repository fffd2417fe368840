import { screen, waitFor } from '@testing-library/react'
import { afterEach, describe, expect, test } from 'vitest'
import { problem } from '../../dev/responses.ts'
import { StandIn } from '../../dev/standin.ts'
import { post, visit, type Intercept } from '../test/visit.tsx'
import { signOut } from './session.ts'

afterEach(signOut)

/** Lets in who has the key. */
const guarded: Intercept = (request) =>
  request.headers.get('Authorization') === 'Bearer alk_good'
    ? undefined
    : problem({
        status: 401,
        title: 'Unauthorized',
        code: 'unauthenticated',
        detail: 'The key is not known.',
      })

describe('a server that wants a key', () => {
  test('is shown one, in every call and for this tab alone', async () => {
    const server = new StandIn()
    await post(server, '/agents', { name: 'Mine', instructions: 'x' })
    const { user, requests } = visit('#/', server, guarded)
    const field = await screen.findByLabelText('API key')
    expect(screen.queryByRole('navigation')).not.toBeInTheDocument()
    const before = requests.length
    await user.type(field, ' alk_good {Enter}')
    expect(await screen.findByRole('link', { name: 'Mine' })).toBeVisible()
    const calls = requests.slice(before)
    expect(calls.map((call) => call.headers.get('Authorization'))).toEqual(calls.map(() => 'Bearer alk_good'))
    expect(window.sessionStorage.getItem('airlock.key')).toBe('alk_good')
    expect(window.localStorage).toHaveLength(0)
  })

  test('says why a key is not taken', async () => {
    const { user } = visit('#/', new StandIn(), guarded)
    await user.type(await screen.findByLabelText('API key'), 'alk_wrong{Enter}')
    expect(await screen.findByRole('alert')).toHaveTextContent('The key is not known.')
    expect(screen.getByLabelText('API key')).toHaveAttribute('type', 'password')
  })

  test('shows nothing of the one caller to the next', async () => {
    const server = new StandIn()
    await post(server, '/agents', { name: 'Of the first', instructions: 'x' })
    const { user, intercept } = visit('#/', server, guarded)
    await user.type(await screen.findByLabelText('API key'), 'alk_good{Enter}')
    await screen.findByRole('link', { name: 'Of the first' })
    await user.click(screen.getByRole('button', { name: 'Sign out' }))
    expect(screen.queryByText('Of the first')).not.toBeInTheDocument()
    expect(window.sessionStorage).toHaveLength(0)

    intercept(() => new Promise(() => undefined)) // a server that takes its time
    await user.type(await screen.findByLabelText('API key'), 'alk_other{Enter}')
    await waitFor(() => expect(screen.getByRole('navigation')).toBeVisible())
    expect(screen.queryByText('Of the first')).not.toBeInTheDocument()
  })
})

// SPDX-License-Identifier: Apache-2.0
// Holds a keeper's funds and acts for its lanes: a batch of calls under a guard, or nothing at all.
// It must not know any venue: what was decided arrives as calls, and as views with the range they must be in.
pragma solidity 0.8.30;

// One word of what a view returns, and the closed range it must be in. With `isAge` the word is a timestamp
// and its age at this block is compared. A word of 2^255 and more reads as negative.
struct Condition { address target; bytes data; uint16 word; bool isAge; int256 min; int256 max; }

// An optional call that fails, or whose conditions do not hold, is left out; any other sinks the batch.
// `gas` bounds what it may use; 0 gives it all there is.
struct Call { address target; uint256 value; uint256 gas; bool optional; bytes data; Condition[] conditions; }

// One word of a view before the first call and after the last: it must have grown by `min` or more.
struct Gain { address target; bytes data; uint16 word; int256 min; }

// Whom a call of the batch may make call us back, what we then do, and what we answer. Taken in order, each once.
struct Callback { address caller; bytes4 selector; Call[] calls; bytes reply; }

// Both deadlines, because block numbers do not run while a chain is halted, and its clock does.
struct Guard {
    uint256 blockMax;
    uint256 timestampMax;
    uint256 servedMin;
    Condition[] conditions;
    Gain[] gains;
    Callback[] callbacks;
}

// With `pinned`, only calls whose first argument is `word` (the one spender of an approval, for instance).
struct Permission { address target; bytes4 selector; bool pinned; bytes32 word; }

contract Executor {
    error EX_NotOwner();
    error EX_NotLane();
    error EX_Paused();
    error EX_Running();
    error EX_BlockPassed();
    error EX_TimestampPassed();
    error EX_ConditionFailed(uint256 index, int256 actual);
    error EX_ViewFailed(uint256 index);
    error EX_NotPermitted(address target, bytes4 selector);
    error EX_NoCode(address target);
    error EX_OutOfGas();
    error EX_TooFewServed(uint256 served);
    error EX_GainTooSmall(uint256 index, int256 gain);
    error EX_UnexpectedCallback(address caller, bytes4 selector);
    error EX_PayoutFailed();

    event Skipped(uint256 indexed index, bytes4 reason);
    event LaneSet(address indexed lane, bool allowed);
    event PermissionSet(address indexed target, bytes4 indexed selector, bool pinned, bytes32 word, bool allowed);
    event PausedSet(bool paused);
    event OwnershipOffered(address indexed to);
    event OwnershipTaken(address indexed by);
    event PaidOut(address indexed token, uint256 amount);

    uint256 private constant REASON_BYTES_MAX = 1024;

    address public owner;
    address public offeredTo;
    bool public paused;
    mapping(address lane => bool) public isLane;
    mapping(bytes32 permission => bool) public isPermitted;

    bool private transient running;
    uint256 private transient callbacksLeft;
    uint256 private transient nextCallback;

    modifier onlyOwner() {
        if (msg.sender != owner) revert EX_NotOwner();
        if (running) revert EX_Running();
        _;
    }

    constructor(address owner_, address[] memory lanes, Permission[] memory permissions) {
        owner = owner_;
        emit OwnershipTaken(owner_);
        for (uint256 i = 0; i < lanes.length; ++i) _setLane(lanes[i], true);
        for (uint256 i = 0; i < permissions.length; ++i) _setPermission(permissions[i], true);
    }

    receive() external payable {}

    // Venues mint accounts to their owner; what strangers send us does no harm.
    function onERC721Received(address, address, uint256, bytes calldata) external pure returns (bytes4) {
        return this.onERC721Received.selector;
    }

    // ── what lanes may do ──

    function execute(Call[] memory calls, Guard memory guard) external payable returns (uint256 served) {
        if (!isLane[msg.sender]) revert EX_NotLane();
        if (paused) revert EX_Paused();
        if (running) revert EX_Running();
        if (block.number > guard.blockMax) revert EX_BlockPassed();
        if (block.timestamp > guard.timestampMax) revert EX_TimestampPassed();
        _require(guard.conditions);
        running = true;
        _expect(guard.callbacks);
        int256[] memory before = _measure(guard.gains);
        served = _run(calls);
        if (served < guard.servedMin) revert EX_TooFewServed(served);
        int256[] memory afterwards = _measure(guard.gains);
        for (uint256 i = 0; i < before.length; ++i) {
            int256 gain = afterwards[i] - before[i];
            if (gain < guard.gains[i].min) revert EX_GainTooSmall(i, gain);
        }
        running = false;
    }

    // A lane may stop everything; only the owner may start it again.
    function pause() external {
        if (!isLane[msg.sender] && msg.sender != owner) revert EX_NotLane();
        paused = true;
        emit PausedSet(true);
    }

    // ── what only the cold owner may do ──

    function resume() external onlyOwner {
        paused = false;
        emit PausedSet(false);
    }

    function setLane(address lane, bool allowed) external onlyOwner { _setLane(lane, allowed); }

    function setPermission(Permission calldata permission, bool allowed) external onlyOwner {
        _setPermission(permission, allowed);
    }

    // Set-up that no lane may do: approvals of a venue, opening accounts, moving them.
    function administer(address target, uint256 value, bytes calldata data)
        external
        payable
        onlyOwner
        returns (bytes memory result)
    {
        if (target.code.length == 0) revert EX_NoCode(target);
        bool ok;
        (ok, result) = target.call{value: value}(data);
        if (!ok) assembly ("memory-safe") { revert(add(result, 32), mload(result)) }
    }

    // The zero address is the chain's own coin.
    function withdraw(address token, uint256 amount) external onlyOwner {
        bool ok;
        if (token == address(0)) {
            (ok,) = owner.call{value: amount}("");
        } else {
            bytes memory result;
            (ok, result) = token.call(abi.encodeWithSelector(0xa9059cbb, owner, amount));
            ok = ok && token.code.length > 0 && (result.length == 0 || abi.decode(result, (bool)));
        }
        if (!ok) revert EX_PayoutFailed();
        emit PaidOut(token, amount);
    }

    function offerOwnership(address to) external onlyOwner {
        offeredTo = to;
        emit OwnershipOffered(to);
    }

    function takeOwnership() external {
        if (msg.sender != offeredTo) revert EX_NotOwner();
        if (running) revert EX_Running();
        owner = msg.sender;
        offeredTo = address(0);
        emit OwnershipTaken(msg.sender);
    }

    // ── callbacks of flash loans and the like ──

    fallback() external payable {
        uint256 at = nextCallback;
        if (!running || callbacksLeft == 0) revert EX_UnexpectedCallback(msg.sender, msg.sig);
        uint256 base = (at + 1) << 64;
        uint256 expected;
        assembly ("memory-safe") { expected := tload(base) }
        if (expected != _caller(msg.sender, msg.sig)) revert EX_UnexpectedCallback(msg.sender, msg.sig);
        nextCallback = at + 1;
        --callbacksLeft;
        (Call[] memory calls, bytes memory reply) = abi.decode(_recall(base + 1), (Call[], bytes));
        _run(calls);
        assembly ("memory-safe") { return(add(reply, 32), mload(reply)) }
    }

    // ── inside ──

    function _run(Call[] memory calls) private returns (uint256 served) {
        for (uint256 i = 0; i < calls.length; ++i) {
            bytes memory reason = _try(calls[i]);
            if (reason.length == 0) {
                ++served;
            } else if (calls[i].optional) {
                emit Skipped(i, bytes4(reason));
            } else {
                assembly ("memory-safe") { revert(add(reason, 32), mload(reason)) }
            }
        }
    }

    // No bytes where the call succeeded, else why it did not.
    function _try(Call memory each) private returns (bytes memory) {
        bytes4 selector = _permitted(each);
        if (each.target.code.length == 0) return abi.encodeWithSelector(EX_NoCode.selector, each.target);
        bytes memory unmet = _unmet(each.conditions);
        if (unmet.length != 0) return unmet;
        uint256 most = gasleft();
        if (each.gas != 0) {
            // Of what is left a call gets 63 parts of 64: a batch short of gas must not look like accounts that healed.
            if (most - most / 64 < each.gas + 10_000) revert EX_OutOfGas();
            most = each.gas;
        }
        (address target, uint256 value, bytes memory data) = (each.target, each.value, each.data);
        bool ok;
        assembly ("memory-safe") { ok := call(most, target, value, add(data, 32), mload(data), 0, 0) }
        return ok ? new bytes(0) : _reason(selector);
    }

    // The revert data, bounded; a revert without any must not look like a success.
    function _reason(bytes4 selector) private pure returns (bytes memory reason) {
        uint256 size;
        assembly ("memory-safe") { size := returndatasize() }
        if (size == 0) return abi.encodeWithSelector(0x08c379a0, string(abi.encodePacked("empty ", selector)));
        if (size > REASON_BYTES_MAX) size = REASON_BYTES_MAX;
        reason = new bytes(size);
        assembly ("memory-safe") { returndatacopy(add(reason, 32), 0, size) }
    }

    function _permitted(Call memory each) private view returns (bytes4 selector) {
        bytes memory data = each.data;
        selector = bytes4(data);
        if (data.length >= 4 && isPermitted[permissionOf(each.target, selector)]) return selector;
        bytes32 first;
        assembly ("memory-safe") { first := mload(add(data, 36)) }
        if (data.length < 36 || !isPermitted[permissionOf(each.target, selector, first)]) {
            revert EX_NotPermitted(each.target, selector);
        }
    }

    function permissionOf(address target, bytes4 selector) public pure returns (bytes32) {
        return keccak256(abi.encode(target, selector));
    }

    function permissionOf(address target, bytes4 selector, bytes32 word) public pure returns (bytes32) {
        return keccak256(abi.encode(target, selector, word));
    }

    function _require(Condition[] memory conditions) private view {
        bytes memory unmet = _unmet(conditions);
        if (unmet.length != 0) assembly ("memory-safe") { revert(add(unmet, 32), mload(unmet)) }
    }

    function _unmet(Condition[] memory conditions) private view returns (bytes memory) {
        for (uint256 i = 0; i < conditions.length; ++i) {
            Condition memory each = conditions[i];
            (bool ok, int256 actual) = _read(each.target, each.data, each.word);
            if (!ok) return abi.encodeWithSelector(EX_ViewFailed.selector, i);
            // A timestamp of nonsense wraps to another age of nonsense; the range still decides.
            unchecked {
                if (each.isAge) actual = int256(block.timestamp) - actual;
            }
            if (actual < each.min || actual > each.max) {
                return abi.encodeWithSelector(EX_ConditionFailed.selector, i, actual);
            }
        }
        return new bytes(0);
    }

    function _measure(Gain[] memory gains) private view returns (int256[] memory values) {
        values = new int256[](gains.length);
        for (uint256 i = 0; i < gains.length; ++i) {
            bool ok;
            (ok, values[i]) = _read(gains[i].target, gains[i].data, gains[i].word);
            if (!ok) revert EX_ViewFailed(i);
        }
    }

    // Copies no more than the one word, however much a view returns.
    function _read(address target, bytes memory data, uint16 word) private view returns (bool ok, int256 value) {
        assembly ("memory-safe") {
            ok := staticcall(gas(), target, add(data, 32), mload(data), 0, 0)
            let from := mul(word, 32)
            ok := and(ok, iszero(lt(returndatasize(), add(from, 32))))
            if ok {
                returndatacopy(0, from, 32)
                value := mload(0)
            }
        }
    }

    function _expect(Callback[] memory callbacks) private {
        callbacksLeft = callbacks.length;
        nextCallback = 0;
        for (uint256 i = 0; i < callbacks.length; ++i) {
            uint256 base = (i + 1) << 64;
            uint256 expected = _caller(callbacks[i].caller, callbacks[i].selector);
            assembly ("memory-safe") { tstore(base, expected) }
            _remember(base + 1, abi.encode(callbacks[i].calls, callbacks[i].reply));
        }
    }

    function _caller(address from, bytes4 selector) private pure returns (uint256) {
        return (uint256(uint32(selector)) << 160) | uint160(from);
    }

    function _remember(uint256 at, bytes memory data) private {
        assembly ("memory-safe") {
            let words := shr(5, add(mload(data), 63))
            for { let i := 0 } lt(i, words) { i := add(i, 1) } { tstore(add(at, i), mload(add(data, shl(5, i)))) }
        }
    }

    function _recall(uint256 at) private view returns (bytes memory data) {
        uint256 length;
        assembly ("memory-safe") { length := tload(at) }
        data = new bytes(length);
        assembly ("memory-safe") {
            let words := shr(5, add(length, 63))
            for { let i := 1 } lt(i, words) { i := add(i, 1) } { mstore(add(data, shl(5, i)), tload(add(at, i))) }
        }
    }

    function _setLane(address lane, bool allowed) private {
        isLane[lane] = allowed;
        emit LaneSet(lane, allowed);
    }

    function _setPermission(Permission memory p, bool allowed) private {
        bytes32 key = p.pinned ? permissionOf(p.target, p.selector, p.word) : permissionOf(p.target, p.selector);
        isPermitted[key] = allowed;
        emit PermissionSet(p.target, p.selector, p.pinned, p.word, allowed);
    }
}

// SPDX-License-Identifier: Apache-2.0
// What every pushed feed shares: who may speak, when data counts, and when it is too old to read.
// It must not know what the data say.
pragma solidity 0.8.30;

import {Ownable} from "solady/src/auth/Ownable.sol";
import {ECDSA} from "solady/src/utils/ECDSA.sol";
import {FeedData, IDataReceiver} from "../Interfaces.sol";

abstract contract SignedFeed is Ownable, IDataReceiver {
    event SignerUpdated(address indexed signer, bool isWhitelisted);
    event PublisherUpdated(address indexed publisher, bool isPermitted);

    error BLF_DataTooOld();
    error BLF_DataExpired();
    error BLF_InvalidTimestamp();
    error BLF_InvalidConfidence();
    error BLF_InvalidSigner();
    error BLF_InvalidSignature();
    error BLF_InvalidSignatureLength();
    error BLF_NotEnoughSigners();
    error BLF_DuplicatedSigner();

    bytes32 private constant DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant DATA_TYPEHASH = keccak256("FeedData(bytes data,uint256 deadline,uint64 timestamp)");

    // Seconds after its timestamp that a datum may still be read. Changing it emits nothing.
    uint64 public heartbeat = 60;
    uint8 public requiredSigners = 1;
    mapping(address => bool) public isSigner;
    // Whose transactions may carry data without signatures: the market driver of the development venue.
    mapping(address => bool) public isPublisher;
    bytes32 private immutable _nameHash;

    constructor(string memory name) {
        _initializeOwner(msg.sender);
        _nameHash = keccak256(bytes(name));
    }

    function setHeartbeat(uint64 newHeartbeat) external onlyOwner { heartbeat = newHeartbeat; }

    function setRequiredSigners(uint8 count) external onlyOwner { requiredSigners = count; }

    function addSigner(address signer, bool isWhitelisted) external onlyOwner {
        isSigner[signer] = isWhitelisted;
        emit SignerUpdated(signer, isWhitelisted);
    }

    function setPublisher(address publisher, bool isPermitted) external onlyOwner {
        isPublisher[publisher] = isPermitted;
        emit PublisherUpdated(publisher, isPermitted);
    }

    function domainSeparator() public view returns (bytes32) {
        return keccak256(abi.encode(DOMAIN_TYPEHASH, _nameHash, keccak256("1"), block.chainid, address(this)));
    }

    function _open(bytes calldata data) internal view returns (FeedData memory feedData) {
        feedData = abi.decode(data, (FeedData));
        if (feedData.timestamp > block.timestamp) revert BLF_InvalidTimestamp();
        if (feedData.deadline < block.timestamp) revert BLF_DataExpired();
        // The publisher is known by the transaction, so that a batch or a manager's data may carry it.
        if (feedData.signatures.length == 0 && isPublisher[tx.origin]) return feedData;
        _checkSignatures(feedData);
    }

    function _checkSignatures(FeedData memory feedData) private view {
        uint256 count = feedData.signers.length;
        if (count != feedData.signatures.length) revert BLF_InvalidSignatureLength();
        if (count < requiredSigners) revert BLF_NotEnoughSigners();
        bytes32 content =
            keccak256(abi.encode(DATA_TYPEHASH, keccak256(feedData.data), feedData.deadline, feedData.timestamp));
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", domainSeparator(), content));
        for (uint256 i = 0; i < count; ++i) {
            address signer = feedData.signers[i];
            if (!isSigner[signer]) revert BLF_InvalidSigner();
            if (ECDSA.tryRecover(digest, feedData.signatures[i]) != signer) revert BLF_InvalidSignature();
            for (uint256 j = 0; j < i; ++j) {
                if (feedData.signers[j] == signer) revert BLF_DuplicatedSigner();
            }
        }
    }

    function _checkFresh(uint256 timestamp) internal view {
        if (timestamp + heartbeat < block.timestamp) revert BLF_DataTooOld();
    }

    function _checkConfidence(uint256 confidence) internal pure {
        if (confidence > 1e18) revert BLF_InvalidConfidence();
    }
}
